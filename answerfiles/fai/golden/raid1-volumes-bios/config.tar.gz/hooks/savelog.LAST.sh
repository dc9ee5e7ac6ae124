#!/bin/bash
# Sourced by FAI at the end, and by its die() after an error. Its logs, which hold every variable,
# are not kept on the new system: they are with Deployer. installer_finished or installer_failed:
bash "$FAI/agent.sh" verdict
skiptask savelog
