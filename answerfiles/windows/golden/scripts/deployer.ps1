# Written by Deployer for app01: what unattend.xml has no setting for. As SYSTEM, in three
# phases: `specialize` (from unattend.xml), `setup-complete` (from SetupComplete.cmd), `first-boot`
# (a scheduled task, which the other two make). It removes itself, and every secret, when it is done.
param([string]$Phase)
$ErrorActionPreference = 'Stop'
$Folder = 'C:\Windows\Setup\Scripts'
$Log = 'C:\Windows\Panther\deployer.log'
$Task = 'deployer-first-boot'
$Kept = 'C:\ProgramData\deployer'
$PhoneHome = 'http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/phone-home'
$Administrators = 'S-1-5-32-544'
$Users = 'S-1-5-32-545'
# sudo is membership in Administrators; without a password, nobody knows the random one it gets.
$Accounts = @(
)
$AdministratorPassword = $null
$AdministratorKeys = @(
)
# With this key the service logs in as `deployer` to verify, and can do nothing else.
$VerifyKey = 'restrict ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFEaJ5p1gk0wU4bJ7yqT8rXq3o9m0Yy0c2y6s7k5DEPL deployer'
$TimeServers = ''
$Proxy = $null
$ProductKey = $null
$KeyServer = $null
$DnsDomain = ''
$Nics = @(
)
$PostScript = ([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('Y2F0ID4gL2V0Yy9tb3RkIDw8J0VORCcKPGI+NTAgJSBvZmY8L2I+ICYgIm1vcmUiIHt7IG5vdCBhIHRlbXBsYXRlIH19CkVORApzZWQgLWkgJ3MvXmFcXGIvw7wvJyAvZXRjL21vdGQK')))
$FirstBootScript = 'if [ -e /etc/motd ]; then
	echo "it''s there" # with a tab
fi
'

function Say([string]$Text) { Add-Content -Path $Log -Value ('{0:s} {1}' -f (Get-Date), $Text) -Encoding UTF8 }

# Runs a program that is no cmdlet; its exit code decides. Windows PowerShell takes a redirected line
# of standard error for an error of its own, and would stop at it.
function Invoke-Program([string]$Program, [string[]]$Arguments) {
  $ErrorActionPreference = 'Continue'
  $output = & $Program @Arguments 2>&1 | Out-String
  Say "$Program : $output"
  if ($LASTEXITCODE -ne 0) { throw "$Program ended with $LASTEXITCODE" }
}

# Several minutes at least: the network may still be coming up, and the server restarting.
function Send-Call([string]$Name, [hashtable]$Body) {
  foreach ($pause in 1, 2, 3, 5, 5, 10, 10, 20, 30, 30, 60, 60, 120, 120, 300) {
    try {
      $json = [Text.Encoding]::UTF8.GetBytes((ConvertTo-Json $Body))
      Invoke-RestMethod -Uri "$PhoneHome/$Name" -Method Post -Body $json -ContentType 'application/json' -TimeoutSec 20 | Out-Null
      return $true
    } catch {
      Say "$Name : $_"
      Start-Sleep -Seconds $pause
    }
  }
  return $false
}

function Protect-Path([string]$Path, [string]$Inheritance = '') {
  Invoke-Program 'icacls.exe' @($Path, '/inheritance:r', '/grant:r', "*S-1-5-18:${Inheritance}F", "*${Administrators}:${Inheritance}F")
}

# --- specialize ---------------------------------------------------------------------------------

function Register-FirstBoot {
  $arguments = "-NoProfile -ExecutionPolicy Bypass -File $Folder\deployer.ps1 first-boot"
  $action = New-ScheduledTaskAction -Execute 'powershell.exe' -Argument $arguments
  $principal = New-ScheduledTaskPrincipal -UserId 'S-1-5-18' -RunLevel Highest
  $settings = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries -MultipleInstances IgnoreNew -ExecutionTimeLimit '04:00:00'
  Register-ScheduledTask -TaskName $Task -Action $action -Principal $principal -Settings $settings -Trigger (New-ScheduledTaskTrigger -AtStartup) -Force | Out-Null
}

# A script of the profile's: as a file, for its own errors to have its own lines; once.
function Invoke-Script([string]$Name, [string]$Text) {
  $done = "$Folder\$Name.begun"
  if (-not $Text -or (Test-Path $done)) { return }
  New-Item -ItemType File -Path $done | Out-Null
  [IO.File]::WriteAllText("$Folder\$Name.ps1", $Text, (New-Object Text.UTF8Encoding $true))
  $ErrorActionPreference = 'Continue' # see Invoke-Program
  $output = & powershell.exe -NoProfile -ExecutionPolicy Bypass -File "$Folder\$Name.ps1" 2>&1 | Out-String
  Say "scripts.$Name ended with $LASTEXITCODE : $output"
  if ($LASTEXITCODE -ne 0) { Set-Content -Path "$Folder\$Name.failed" -Value "scripts.$Name ended with $LASTEXITCODE" }
}

function Invoke-Specialize {
  Protect-Path $Folder '(OI)(CI)'
  if ($DnsDomain) {
    $parameters = 'HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters'
    Set-ItemProperty -Path $parameters -Name 'NV Domain' -Value $DnsDomain
    Set-ItemProperty -Path $parameters -Name 'Domain' -Value $DnsDomain
  }
  Register-FirstBoot
  Invoke-Script 'post' $PostScript
}

# --- first boot ---------------------------------------------------------------------------------

# Setup and the out-of-box experience own accounts and services until they are done.
function Wait-Setup {
  for ($i = 0; $i -lt 360; $i++) {
    $state = Get-ItemProperty 'HKLM:\SYSTEM\Setup'
    if ($state.SystemSetupInProgress -ne 1 -and $state.OOBEInProgress -ne 1) { return }
    Start-Sleep -Seconds 5
  }
  throw 'Windows Setup is not done after half an hour'
}

function Set-Nic([hashtable]$Nic) {
  $adapter = Get-NetAdapter | Where-Object { $_.MacAddress -eq $Nic.Mac } | Select-Object -First 1
  if (-not $adapter) { throw "there is no NIC $($Nic.Mac)" }
  if ($Nic.Mtu -gt 1500) { # frames that large have to be allowed in the driver first
    Get-NetAdapterAdvancedProperty -Name $adapter.Name -RegistryKeyword '*JumboPacket' -ErrorAction SilentlyContinue |
      Set-NetAdapterAdvancedProperty -RegistryValue ([string]($Nic.Mtu + 14)) -ErrorAction SilentlyContinue
  }
  if ($Nic.Mtu) {
    Set-NetIPInterface -InterfaceIndex $adapter.ifIndex -AddressFamily IPv4 -NlMtuBytes $Nic.Mtu
    if ($Nic.Mtu -ge 1280) { Set-NetIPInterface -InterfaceIndex $adapter.ifIndex -AddressFamily IPv6 -NlMtuBytes $Nic.Mtu }
  }
  if ($Nic.BesideDhcp.Count -eq 0) { return }
  Invoke-Program 'netsh.exe' @('interface', 'ipv4', 'set', 'interface', "$($adapter.ifIndex)", 'dhcpstaticipcoexistence=enabled')
  foreach ($address in $Nic.BesideDhcp) {
    $ip, $length = $address -split '/'
    if (-not (Get-NetIPAddress -IPAddress $ip -ErrorAction SilentlyContinue)) {
      New-NetIPAddress -InterfaceIndex $adapter.ifIndex -IPAddress $ip -PrefixLength ([int]$length) | Out-Null
    }
  }
  if ($Nic.Gateway) {
    $all = if ($Nic.Gateway.Contains(':')) { '::/0' } else { '0.0.0.0/0' }
    if (-not (Get-NetRoute -DestinationPrefix $all -NextHop $Nic.Gateway -ErrorAction SilentlyContinue)) {
      New-NetRoute -InterfaceIndex $adapter.ifIndex -DestinationPrefix $all -NextHop $Nic.Gateway | Out-Null
    }
  }
}

function Set-Sources {
  if ($Proxy) { Invoke-Program 'netsh.exe' @('winhttp', 'set', 'proxy', ([uri]$Proxy).Authority) }
  if ($TimeServers) {
    Set-Service w32time -StartupType Automatic
    Start-Service w32time
    Invoke-Program 'w32tm.exe' @('/config', "/manualpeerlist:$TimeServers", '/syncfromflags:manual', '/update')
  }
}

function New-Password([string]$Given) {
  if ($Given) { return ConvertTo-SecureString $Given -AsPlainText -Force }
  $bytes = New-Object byte[] 24
  [Security.Cryptography.RandomNumberGenerator]::Create().GetBytes($bytes)
  ConvertTo-SecureString ([Convert]::ToBase64String($bytes) + 'aA1!') -AsPlainText -Force
}

function Set-Account([string]$Name, [bool]$Admin, [string]$Password) {
  $secret = New-Password $Password
  if (Get-LocalUser -Name $Name -ErrorAction SilentlyContinue) {
    Set-LocalUser -Name $Name -Password $secret -PasswordNeverExpires $true
  } else {
    New-LocalUser -Name $Name -Password $secret -PasswordNeverExpires -AccountNeverExpires | Out-Null
  }
  $group = if ($Admin) { $Administrators } else { $Users }
  if (-not (Get-LocalGroupMember -SID $group | Where-Object { $_.SID -eq (Get-LocalUser -Name $Name).SID })) {
    Add-LocalGroupMember -SID $group -Member $Name
  }
}

function Set-Accounts {
  foreach ($account in $Accounts) { Set-Account $account.Name $account.Admin $account.Password }
  if ($VerifyKey) {
    Set-Account 'deployer' $false ''
  } elseif (-not ($Accounts | Where-Object { $_.Name -eq 'deployer' })) {
    Remove-LocalUser -Name 'deployer' -ErrorAction SilentlyContinue
  }
  # By its SID, for its name differs between languages. Locked unless something is set for it.
  $builtIn = Get-LocalUser | Where-Object { $_.SID.Value -like '*-500' }
  Set-LocalUser -Name $builtIn.Name -Password (New-Password $AdministratorPassword)
  if ($AdministratorPassword -or $AdministratorKeys.Count) {
    Enable-LocalUser -Name $builtIn.Name
  } else {
    Disable-LocalUser -Name $builtIn.Name
  }
}

function Write-Keys([string]$Path, [string[]]$Keys) {
  # sshd takes no file that others may write; OpenSSH has no use for a byte order mark.
  [IO.File]::WriteAllLines($Path, $Keys, (New-Object Text.UTF8Encoding $false))
  Protect-Path $Path
}

# Keys of administrators are one file (Microsoft, "Key-based authentication in OpenSSH for Windows");
# those of others are named in sshd_config, for no profile folder exists before its first log-on.
function Set-Ssh {
  if (-not (Get-Service sshd -ErrorAction SilentlyContinue)) { # present from Server 2025 on
    Add-WindowsCapability -Online -Name 'OpenSSH.Server~~~~0.0.1.0' | Out-Null
  }
  Set-Service sshd -StartupType Automatic
  Start-Service sshd # makes its host keys and sshd_config
  $ssh = 'C:\ProgramData\ssh'
  New-Item -ItemType Directory -Force -Path "$ssh\keys" | Out-Null
  $ofAdmins = @($AdministratorKeys) + @($Accounts | Where-Object { $_.Admin } | ForEach-Object { $_.Keys })
  Write-Keys "$ssh\administrators_authorized_keys" $ofAdmins
  $lines = @(Get-Content "$ssh\sshd_config") -split "`r?`n"
  $mark = '# Written by Deployer; everything below is for single accounts.'
  if ($lines -contains $mark) { $lines = $lines[0..($lines.IndexOf($mark) - 1)] }
  $lines += $mark
  foreach ($account in ($Accounts | Where-Object { -not $_.Admin -and $_.Keys.Count })) {
    Write-Keys "$ssh\keys\$($account.Name)" $account.Keys
    $lines += "Match User $($account.Name)", "    AuthorizedKeysFile __PROGRAMDATA__/ssh/keys/$($account.Name)"
  }
  if ($VerifyKey) {
    Write-Keys "$ssh\keys\deployer" @($VerifyKey)
    $lines += 'Match User deployer', '    AuthorizedKeysFile __PROGRAMDATA__/ssh/keys/deployer', '    PasswordAuthentication no', '    AllowTcpForwarding no', "    ForceCommand powershell.exe -NoProfile -ExecutionPolicy Bypass -File $Kept\verify.ps1"
  }
  [IO.File]::WriteAllLines("$ssh\sshd_config", $lines, (New-Object Text.UTF8Encoding $false))
  Restart-Service sshd
  # The capability's own rule is for private networks alone, in Server 2025 and Windows 11 24H2.
  if (-not (Get-NetFirewallRule -Name 'deployer-sshd' -ErrorAction SilentlyContinue)) {
    New-NetFirewallRule -Name 'deployer-sshd' -DisplayName 'OpenSSH server (Deployer)' -Direction Inbound -Protocol TCP -LocalPort 22 -Action Allow -Profile Any | Out-Null
  }
}

# The service asks what it asks of every system; here these few lines answer it, and nothing else.
$VerifyScript = @'
$asked = "$env:SSH_ORIGINAL_COMMAND"
if ($asked.StartsWith('cat /etc/os-release')) {
  'VERSION_ID="{0}"' -f [Environment]::OSVersion.Version.ToString(3)
} elseif ($asked.StartsWith('cat /proc/sys/kernel/hostname')) {
  [Environment]::MachineName.ToLower()
} elseif ($asked.StartsWith('lsblk')) {
  Get-Content C:\ProgramData\deployer\disks.json
} else {
  Write-Error 'this account answers the questions of Deployer, and no other'
  exit 1
}
'@

function Set-Verify {
  if (-not $VerifyKey) { return }
  New-Item -ItemType Directory -Force -Path $Kept | Out-Null
  Set-Content -Path "$Kept\verify.ps1" -Value $VerifyScript -Encoding ASCII
  $part = Get-CimInstance Win32_LogicalDisk -Filter "DeviceID='C:'" | Get-CimAssociatedInstance -ResultClassName Win32_DiskPartition
  $disks = Get-CimInstance Win32_DiskDrive | ForEach-Object {
    $mounted = if ($part.DiskIndex -contains $_.Index) { '/' } else { $null }
    @{ name = "PhysicalDrive$($_.Index)"; type = 'disk'; size = $_.Size; serial = "$($_.SerialNumber)".Trim(); mountpoint = $mounted }
  }
  Set-Content -Path "$Kept\disks.json" -Value (ConvertTo-Json @{ blockdevices = @($disks) } -Depth 4) -Encoding ASCII
  # Others may read it, and not write it, as they may in a new folder of ProgramData.
  Invoke-Program 'icacls.exe' @($Kept, '/inheritance:r', '/grant:r', '*S-1-5-18:(OI)(CI)F', "*${Administrators}:(OI)(CI)F", "*${Users}:(OI)(CI)RX")
}

function Set-License {
  $service = Get-CimInstance SoftwareLicensingService
  if ($ProductKey) { Invoke-CimMethod -InputObject $service -MethodName InstallProductKey -Arguments @{ ProductKey = $ProductKey } | Out-Null }
  if ($KeyServer) {
    $name, $port = $KeyServer -split ':'
    Invoke-CimMethod -InputObject $service -MethodName SetKeyManagementServiceMachine -Arguments @{ MachineName = $name } | Out-Null
    if ($port) { Invoke-CimMethod -InputObject $service -MethodName SetKeyManagementServicePort -Arguments @{ PortNumber = [uint32]$port } | Out-Null }
  }
  if ($ProductKey -or $KeyServer) { Invoke-CimMethod -InputObject $service -MethodName RefreshLicenseStatus | Out-Null }
}

# Copies that Setup keeps of unattend.xml, and what we brought.
function Remove-Secrets {
  $copies = 'C:\Windows\Panther\unattend.xml', 'C:\Windows\Panther\unattend-original.xml', 'C:\Windows\Panther\Unattend', 'C:\Windows\System32\Sysprep\unattend.xml', 'C:\unattend.xml', 'C:\autounattend.xml'
  Remove-Item -Path $copies -Recurse -Force -ErrorAction SilentlyContinue
  $winlogon = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon'
  Remove-ItemProperty -Path $winlogon -Name 'DefaultPassword', 'AutoLogonCount' -ErrorAction SilentlyContinue
  Remove-Item -Path $Folder -Recurse -Force -ErrorAction SilentlyContinue
}

function Invoke-FirstBoot {
  Wait-Setup
  foreach ($nic in $Nics) { Set-Nic $nic }
  Set-Sources
  Set-Accounts
  Set-Verify
  Set-Ssh
  Set-License
  Invoke-Script 'first_boot' $FirstBootScript
  $failed = @(Get-Content "$Folder\*.failed" -ErrorAction SilentlyContinue)
  if ($failed.Count) { throw ($failed -join '; ') }
  $keys = @(Get-Content 'C:\ProgramData\ssh\ssh_host_*_key.pub' | ForEach-Object { ($_ -split ' ')[0..1] -join ' ' })
  if (-not (Send-Call 'first_boot' @{ ssh_host_keys = $keys })) { return } # again at the next start
  Unregister-ScheduledTask -TaskName $Task -Confirm:$false
  Remove-Secrets
}

try {
  switch ($Phase) {
    'specialize' { Invoke-Specialize }
    'setup-complete' {
      Register-FirstBoot
      Start-ScheduledTask -TaskName $Task
    }
    'first-boot' { Invoke-FirstBoot }
    default { throw "there is no phase '$Phase'" }
  }
} catch {
  Say "FAILED in $Phase : $_"
  $tail = (Get-Content $Log -Tail 60 | Select-String -Pattern 'passw' -NotMatch) -join "`n"
  Send-Call 'installer_failed' @{ stage = 'configuring'; message = "${Phase}: $_"; log_tail = $tail } | Out-Null
}
