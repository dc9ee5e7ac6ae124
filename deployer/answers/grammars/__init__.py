"""What the files of an installer may say: models, readers and rules, with a file for each subject.

An installer whose grammar fits in its own file has it there.
"""
