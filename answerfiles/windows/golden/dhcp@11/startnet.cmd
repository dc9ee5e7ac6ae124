@echo off
rem Windows PE runs this first. What is to be done is in deployer.js; here only that it is run.
wpeinit
rem Sets PEFirmwareType in the registry: 1 BIOS, 2 UEFI.
wpeutil UpdateBootInfo
wpeutil WaitForNetwork
cscript.exe //NoLogo //E:JScript X:\Windows\System32\deployer.js
if exist X:\deployer\ended.txt goto end
rem It tells its own failures. Here it was not run to its end; its exit code would not say so.
curl.exe -s -m 20 --retry 30 --retry-connrefused -H "Content-Type: application/json" -d "{\"stage\": \"start\", \"message\": \"Windows PE could not run deployer.js: cscript.exe is missing, or the script broke off\"}" http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/phone-home/installer_failed
ping.exe -n 600 127.0.0.1 > nul
wpeutil reboot
:end
