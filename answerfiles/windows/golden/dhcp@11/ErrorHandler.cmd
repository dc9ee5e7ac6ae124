@echo off
rem Windows Setup runs this as SYSTEM at a fatal error (Microsoft, "Add a custom script to Windows
rem Setup"), in the installed system's first boots.
curl.exe -s -m 20 --retry 10 --retry-connrefused --data-binary @C:\Windows\Panther\setuperr.log -H "Content-Type: text/plain" http://10.0.0.5:8081/d/TOKEN-LOGS/logs/setuperr.log
curl.exe -s -m 20 --retry 30 --retry-connrefused -H "Content-Type: application/json" -d "{\"stage\": \"configuring\", \"message\": \"Windows Setup met a fatal error; its setuperr.log is among the logs\"}" http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/phone-home/installer_failed
