#!/bin/bash
# Sourced by FAI before the task "partition": setup-storage takes disk1 and disk2 from this list.
disklist=$(bash "$FAI/agent.sh" disks | tr '\n' ' ')
disklist=${disklist% }
[ "$(wc -w <<< "$disklist")" = 2 ] || task_error 900
bash "$FAI/agent.sh" stage partitioning 6 "dividing $disklist"
