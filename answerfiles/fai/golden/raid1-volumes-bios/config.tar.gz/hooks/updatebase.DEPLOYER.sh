#!/bin/bash
# Sourced by FAI before the task "updatebase": where packages come from.
bash "$FAI/agent.sh" stage configuring 50 "installing packages"
