#!/bin/bash
# Sourced by FAI before the task "updatebase": where packages come from.
bash "$FAI/agent.sh" stage configuring 50 "installing packages"
# The image has all that was asked for, so nothing is fetched.
skiptask updatebase instsoft
