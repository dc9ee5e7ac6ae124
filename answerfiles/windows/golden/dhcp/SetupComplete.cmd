@echo off
rem Windows Setup runs this as SYSTEM when it is done. Not with an OEM key on a client edition
rem (Microsoft, "Add a custom script to Windows Setup"), so the specialize pass has prepared it all.
powershell.exe -NoProfile -ExecutionPolicy Bypass -File C:\Windows\Setup\Scripts\deployer.ps1 setup-complete
