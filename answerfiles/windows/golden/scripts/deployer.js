// Installs Windows on app01: run by cscript.exe in Windows PE. JScript is
// ECMAScript 3: no `let`, no JSON, no trailing commas. PE has WMI and scripting (the medium's
// sources/boot.wim, image 2), diskpart, dism and bcdboot; curl.exe came with this file.
var PHONE_HOME = "http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/phone-home";
var PROGRESS = "http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/progress";
var ASK_DISKS = "http://10.0.0.5:8081/d/TOKEN-PHONE-HOME/disks";
var LOGS = "http://10.0.0.5:8081/d/TOKEN-LOGS/logs";
var IMAGE = "http://10.0.0.5:8081/images/windows-server-2025-x86_64";
// The parts of the image to apply, with their sizes; and drivers for what is installed.
var PARTS = [{"path": "sources/install.wim", "size": 4700000000}];
var DRIVERS = [{"path": "drivers/nic/netkvm.inf", "size": 4000}, {"path": "drivers/nic/netkvm.sys", "size": 90000}];
var EDITION = ["ServerStandard", "Server"]; // EDITIONID and INSTALLATIONTYPE: standard
var EXPECT = {"macs": ["52:54:00:12:34:56"], "serial": "", "uuid": ""};
var PRE = "echo \"before: $(date)\"\n";

var OWN = "X:\\deployer\\", TOOLS = "X:\\Windows\\System32\\", LOG = OWN + "log.txt";
var TARGET = "W:\\deployer\\";
var shell = new ActiveXObject("WScript.Shell");
var files = new ActiveXObject("Scripting.FileSystemObject");
var wmi = null; // set in main, where an error is told

// --- words, files, commands ---------------------------------------------------------------------

function say(text) { WScript.Echo("deployer: " + text); }

function read(path) {
  if (!files.FileExists(path)) { return ""; }
  var file = files.OpenTextFile(path, 1), text = file.AtEndOfStream ? "" : file.ReadAll();
  file.Close();
  return text;
}

function write(path, text) {
  var file = files.CreateTextFile(path, true);
  file.Write(text);
  file.Close();
}

function start(command, output) { // its output goes to the log; /s: the outer quotes are cmd's own
  return shell.Exec("cmd.exe /s /c \"" + command + (output ? " >" + output + " 2>>" + LOG : " >>" + LOG + " 2>&1") + "\"");
}

function run(command, meanwhile, output) { // its exit code; `meanwhile` is called every ten seconds
  var job = start(command, output), seconds = 0;
  while (job.Status === 0) {
    WScript.Sleep(1000);
    seconds += 1;
    if (meanwhile && seconds % 10 === 0) { meanwhile(); }
  }
  return job.ExitCode;
}

function must(stage, command, meanwhile) {
  var code = run(command, meanwhile);
  if (code !== 0) { fail(stage, command.split(" ")[0] + " ended with " + code); }
}

// --- what we say to the server ------------------------------------------------------------------

function json(value) { // as JSON text in printable ASCII
  if (value === null || value === undefined || value === "") { return "null"; }
  if (typeof value === "number" || typeof value === "boolean") { return String(value); }
  var text = "", code, i;
  for (i = 0; i < value.length; i += 1) {
    code = value.charCodeAt(i);
    if (code === 34 || code === 92) { text += "\\" + value.charAt(i); }
    else if (code >= 32 && code < 127) { text += value.charAt(i); }
    else { text += "\\u" + ("000" + code.toString(16)).slice(-4); }
  }
  return "\"" + text + "\"";
}

function call(tries, url, body, type) { // the HTTP status, 0 for none; the answer is in answer.txt
  var status = 0, pause = 1;
  write(OWN + "body.txt", body);
  while (tries > 0) {
    if (files.FileExists(OWN + "answer.txt")) { files.DeleteFile(OWN + "answer.txt"); }
    run("curl.exe -s -m 20 -o " + OWN + "answer.txt -w %{http_code} -H \"Content-Type: " +
      (type || "application/json") + "\" --data-binary @" + OWN + "body.txt " + url, null, OWN + "status.txt");
    status = parseInt(read(OWN + "status.txt"), 10) || 0;
    if (status >= 200 && status < 300) { return status; }
    if (status === 404 && /\/d\//.test(url)) { stop("the server says that this deployment has ended"); }
    if (status >= 400 && status < 500) { return status; }
    tries -= 1;
    if (tries > 0) { WScript.Sleep(pause * 1000); }
    pause = Math.min(pause * 2, 30);
  }
  return status;
}

function progress(stage, percent, message) {
  call(1, PROGRESS, "{\"stage\": " + json(stage) + ", \"percent\": " + percent + ", \"message\": " + json(message) + "}");
}

function no_secrets(text) { // URLs carry tokens
  return text.replace(/\/d\/[A-Za-z0-9_-]+\//g, "/d/.../");
}

function tail(path, length) { return no_secrets(read(path)).slice(-length); }

function stop(reason) { // whatever happens, the machine restarts, and boots its own disk
  say(reason + "; restarting");
  write(OWN + "ended.txt", reason);
  run("wpeutil.exe reboot");
  WScript.Sleep(120000);
  WScript.Quit(0);
}

var failed = false;
function fail(stage, message) {
  if (failed) { stop(message); } // the calls below may fail too
  failed = true;
  say("FAILED while " + stage + ": " + message);
  call(3, LOGS + "/windows-pe.log", tail(LOG, 60000), "text/plain");
  call(3, LOGS + "/dism.log", tail("X:\\Windows\\Logs\\DISM\\dism.log", 60000), "text/plain");
  call(10, PHONE_HOME + "/installer_failed", "{\"stage\": " + json(stage) + ", \"message\": " +
    json(message) + ", \"log_tail\": " + json(tail(LOG, 6000)) + "}");
  WScript.Sleep(600000); // the screen keeps what it shows
  stop(message);
}

// --- who we are, and which disk -----------------------------------------------------------------

function all(query, service) { // the objects of a WMI query; none where PE does not know the class
  var found = [], list;
  try {
    list = new Enumerator((service || wmi).ExecQuery(query));
    for (; !list.atEnd(); list.moveNext()) { found.push(list.item()); }
  } catch (unknown) { found = []; }
  return found;
}

function field(item, name) { // of a WMI object; null where this Windows has no such property
  try { return item.Properties_.Item(name).Value; } catch (unknown) { return null; }
}

function trimmed(text) { return text === null || text === undefined ? "" : String(text).replace(/^\s+|\s+$/g, ""); }

function first(query, name) {
  var found = all(query);
  return found.length ? trimmed(field(found[0], name)) : "";
}

function macs() {
  var found = [], adapters = all("SELECT MACAddress FROM Win32_NetworkAdapter WHERE MACAddress IS NOT NULL"), i;
  for (i = 0; i < adapters.length; i += 1) { found.push(trimmed(field(adapters[i], "MACAddress")).toLowerCase()); }
  return found;
}

function differs(wanted, seen) { // nothing wanted, or nothing to be seen, is no difference
  return wanted !== "" && seen !== "" && wanted.toLowerCase() !== seen.toLowerCase();
}

function swapped(uuid) { // some firmware has the first three parts in the other byte order
  return uuid.replace(/^(..)(..)(..)(..)-(..)(..)-(..)(..)-/, "$4$3$2$1-$6$5-$8$7-");
}

function check_identity() { // a cloned MAC or swapped cable must not cost another machine its disk
  var own = macs().join(" "), known = false, i;
  for (i = 0; i < EXPECT.macs.length; i += 1) { known = known || own.indexOf(EXPECT.macs[i]) >= 0; }
  if (!known) { fail("start", "none of this machine's NICs is one of the host's; it has " + (own || "none")); }
  var serial = first("SELECT SerialNumber FROM Win32_BIOS", "SerialNumber");
  if (differs(EXPECT.serial, serial)) { fail("start", "the serial of this machine is " + serial); }
  var uuid = first("SELECT UUID FROM Win32_ComputerSystemProduct", "UUID");
  if (differs(EXPECT.uuid, uuid) && differs(EXPECT.uuid, swapped(uuid))) { fail("start", "the UUID of this machine is " + uuid); }
}

function is_uefi() { return Number(shell.RegRead("HKLM\\SYSTEM\\CurrentControlSet\\Control\\PEFirmwareType")) === 2; }

function started() {
  var own = macs(), system = "Win32_ComputerSystem", quoted = [], i;
  for (i = 0; i < own.length; i += 1) { quoted.push(json(own[i])); }
  call(10, PHONE_HOME + "/installer_started", "{\"facts\": {\"uuid\": " +
    json(first("SELECT UUID FROM Win32_ComputerSystemProduct", "UUID")) + ", \"serial\": " +
    json(first("SELECT SerialNumber FROM Win32_BIOS", "SerialNumber")) + ", \"vendor\": " +
    json(first("SELECT Manufacturer FROM " + system, "Manufacturer")) + ", \"product\": " +
    json(first("SELECT Model FROM " + system, "Model")) + ", \"memory\": " +
    (Number(first("SELECT TotalPhysicalMemory FROM " + system, "TotalPhysicalMemory")) || 0) + ", \"firmware\": " +
    json(is_uefi() ? "uefi" : "bios") + ", \"macs\": [" + quoted.join(", ") + "]}}");
}

// MSFT_Disk and MSFT_PhysicalDisk say more than Win32_DiskDrive, where PE has them.
var BUSES = {"1": "scsi", "3": "ata", "4": "ieee1394", "6": "fc", "7": "usb", "8": "raid", "9": "iscsi", "10": "sas", "11": "sata", "17": "nvme"};

function storage(query) {
  try {
    return all(query, GetObject("winmgmts:\\\\.\\root\\Microsoft\\Windows\\Storage"));
  } catch (unknown) { return []; }
}

function wwn_of(disk, serial) { // as Linux and labels write it
  // stornvme gives a disk's EUI-64 or NGUID for its serial: 0025_3854_91B0_5E2B.
  if (/^([0-9a-f]{4}_)+[0-9a-f]{4}\.$/i.test(serial)) { return "eui." + serial.replace(/[_.]/g, "").toLowerCase(); }
  var id = disk ? trimmed(field(disk, "UniqueId")).toLowerCase() : "";
  return disk && Number(field(disk, "UniqueIdFormat")) === 3 && /^[0-9a-f]{16,32}$/.test(id) ? "0x" + id : "";
}

function described(drive, disk, physical) { // a disk as the server wants it, as JSON
  var serial = trimmed(field(drive, "SerialNumber")), media = trimmed(field(drive, "MediaType")), bus = trimmed(field(drive, "InterfaceType")).toLowerCase();
  if (disk && BUSES[String(field(disk, "BusType"))]) { bus = BUSES[String(field(disk, "BusType"))]; }
  if (/nvme/i.test(trimmed(field(drive, "PNPDeviceID")))) { bus = "nvme"; }
  if (/external/i.test(media)) { bus = "usb"; }
  var type = bus === "nvme" ? "nvme" : "";
  if (type === "" && physical) { type = {"3": "hdd", "4": "ssd"}[String(field(physical, "MediaType"))] || ""; }
  var contents = [], parts = all("SELECT Type FROM Win32_DiskPartition WHERE DiskIndex = " + field(drive, "Index")), i;
  for (i = 0; i < parts.length; i += 1) { contents.push(json(trimmed(field(parts[i], "Type")) || "partition")); }
  return "{\"name\": \"PhysicalDrive" + field(drive, "Index") + "\", \"path\": \"PhysicalDrive" + field(drive, "Index") + "\", \"size\": " +
    (trimmed(field(drive, "Size")) || "0") + ", \"serial\": " + json(serial) + ", \"wwn\": " + json(wwn_of(disk, serial)) +
    ", \"model\": " + json(trimmed(field(drive, "Model"))) + ", \"type\": " + json(type) + ", \"transport\": " + json(bus) +
    ", \"removable\": " + /removable/i.test(media) + ", \"read_only\": " + (disk ? field(disk, "IsReadOnly") === true : false) +
    ", \"contents\": [" + contents.join(", ") + "]}";
}

function by(list, name, value) {
  for (var i = 0; i < list.length; i += 1) { if (trimmed(field(list[i], name)) === String(value)) { return list[i]; } }
  return null;
}

function ask_for_disk() { // the number of the one disk that may be written
  var drives = all("SELECT * FROM Win32_DiskDrive"), listed = [], number, i;
  var disks = storage("SELECT * FROM MSFT_Disk"), physical = storage("SELECT * FROM MSFT_PhysicalDisk");
  for (i = 0; i < drives.length; i += 1) {
    number = field(drives[i], "Index");
    listed.push(described(drives[i], by(disks, "Number", number), by(physical, "DeviceId", number)));
  }
  if (call(10, ASK_DISKS, "{\"disks\": [" + listed.join(", ") + "]}") !== 200) {
    fail("disks", "the server does not say which disk may be written");
  }
  var answer = read(OWN + "answer.txt");
  if (!/"action": ?"proceed"/.test(answer)) { // the server knows; nothing was written
    say("STOPPED, nothing was written: " + answer);
    WScript.Sleep(600000);
    stop("no disk");
  }
  var named = answer.slice(answer.indexOf("\"disks\"")).match(/"name": ?"PhysicalDrive\d+"/g) || [];
  if (named.length !== 1) { fail("disks", "the server names " + named.length + " disks"); }
  return Number(named[0].match(/(\d+)"$/)[1]);
}

// --- the disk, and what is written to it --------------------------------------------------------

function layout(disk, uefi) { // for diskpart; sizes in MB
  var lines = ["select disk " + disk, "attributes disk clear readonly noerr", "online disk noerr", "clean"];
  var recovery = ["create partition primary", "shrink minimum=1024", "format quick fs=ntfs label=\"Windows\"",
    "assign letter=W", "create partition primary", "format quick fs=ntfs label=\"Recovery\"", "assign letter=R"];
  if (uefi) {
    return lines.concat(["convert gpt", "create partition efi size=300", "format quick fs=fat32 label=\"System\"",
      "assign letter=S", "create partition msr size=16"], recovery,
      ["set id=\"de94bba4-06d1-4d40-a16a-bfd50179d6ac\"", "gpt attributes=0x8000000000000001"]);
  }
  return lines.concat(["create partition primary size=500", "format quick fs=ntfs label=\"System\"",
    "assign letter=S", "active"], recovery, ["set id=27"]);
}

function partition(disk, uefi) {
  progress("partitioning", 5, "disk " + disk + (uefi ? " for UEFI" : " for BIOS"));
  write(OWN + "diskpart.txt", layout(disk, uefi).join("\r\n") + "\r\n");
  must("partitioning", "diskpart.exe /s " + OWN + "diskpart.txt");
  if (!files.DriveExists("W:") || !files.DriveExists("S:")) { fail("partitioning", "diskpart left no drive W: or S:"); }
  files.CreateFolder(TARGET);
}

function size_of(path) { return files.FileExists(path) ? files.GetFile(path).Size : 0; }

function fetch(file, path, from, to) { // a file of the image, whole; a broken download is gone on with
  var meanwhile = function () {
    progress("retrieving", Math.round(from + (to - from) * Math.min(1, size_of(path) / file.size)), file.path);
  };
  must("retrieving", "curl.exe -s -S -f -C - --create-dirs --retry 10 --retry-delay 5 --retry-connrefused --speed-limit 1000 --speed-time 60 -o \"" +
    path + "\" \"" + IMAGE + "/" + file.path + "\"", meanwhile);
  if (size_of(path) !== file.size) { fail("retrieving", file.path + " has " + size_of(path) + " bytes, not " + file.size); }
}

function name_of(path) { return path.slice(path.lastIndexOf("/") + 1); }

function image_numbers(wim) { // of the images that are the edition, and all that there are, in words
  var found = [], seen = [], number = 1, text, edition, installation;
  for (;;) {
    if (run("dism.exe /English /Get-ImageInfo /ImageFile:" + wim + " /Index:" + number, null, OWN + "image.txt") !== 0) { break; }
    text = read(OWN + "image.txt");
    edition = trimmed((text.match(/^Edition : (.*)$/m) || ["", ""])[1]);
    installation = trimmed((text.match(/^Installation : (.*)$/m) || ["", ""])[1]);
    seen.push(number + ": " + edition + ", " + installation);
    if (edition === EDITION[0] && installation === EDITION[1]) { found.push(number); }
    number += 1;
  }
  return {"found": found, "seen": seen.join("; ")};
}

function apply(wim) {
  var numbers = image_numbers(wim), split = /\.swm$/i.test(wim) ? " /SWMFile:" + wim.replace(/\.swm$/i, "*.swm") : "";
  if (numbers.found.length !== 1) {
    fail("writing", numbers.found.length + " images are " + EDITION.join(", ") + ". The medium holds " + (numbers.seen || "none"));
  }
  must("writing", "dism.exe /English /Apply-Image /ImageFile:" + wim + split + " /Index:" + numbers.found[0] +
    " /ApplyDir:W:\\ /Verify /ScratchDir:" + TARGET, function () { progress("writing", 60, "dism applies image " + numbers.found[0]); });
}

function retrieve_and_write() {
  var total = 0, done = 0, i;
  for (i = 0; i < PARTS.length; i += 1) { total += PARTS[i].size; }
  for (i = 0; i < PARTS.length; i += 1) {
    fetch(PARTS[i], TARGET + name_of(PARTS[i].path), 10 + 40 * done / total, 10 + 40 * (done + PARTS[i].size) / total);
    done += PARTS[i].size;
  }
  progress("writing", 50, "dism applies the image");
  apply(TARGET + name_of(PARTS[0].path));
  for (i = 0; i < PARTS.length; i += 1) { files.DeleteFile(TARGET + name_of(PARTS[i].path), true); }
}

function recovery() { // Windows RE in its own partition; a medium may come without it
  var source = "W:\\Windows\\System32\\Recovery\\Winre.wim";
  if (!files.FileExists(source)) { return; }
  run("mkdir R:\\Recovery\\WindowsRE");
  run("copy /y " + source + " R:\\Recovery\\WindowsRE\\Winre.wim");
  if (run("W:\\Windows\\System32\\Reagentc.exe /Setreimage /Path R:\\Recovery\\WindowsRE /Target W:\\Windows") !== 0) {
    say("Windows RE is not set up; go on without it");
  }
}

function bootable(uefi) {
  progress("bootloader", 85, "bcdboot");
  must("bootloader", "W:\\Windows\\System32\\bcdboot.exe W:\\Windows /s S: /f " + (uefi ? "UEFI" : "BIOS"));
  recovery();
}

function configure() { // what the new system reads at its first start
  progress("configuring", 90, "answer files and drivers");
  var scripts = "W:\\Windows\\Setup\\Scripts\\", names = ["SetupComplete.cmd", "ErrorHandler.cmd", "deployer.ps1"], i;
  run("mkdir W:\\Windows\\Panther");
  run("mkdir " + scripts);
  must("configuring", "copy /y " + TOOLS + "unattend.xml W:\\Windows\\Panther\\unattend.xml");
  for (i = 0; i < names.length; i += 1) { must("configuring", "copy /y " + TOOLS + names[i] + " " + scripts + names[i]); }
  if (/pass="offlineServicing"/.test(read(TOOLS + "unattend.xml"))) { // nobody else would apply it
    must("configuring", "dism.exe /English /Image:W:\\ /Apply-Unattend:" + TOOLS + "unattend.xml");
  }
  for (i = 0; i < DRIVERS.length; i += 1) {
    fetch(DRIVERS[i], TARGET + DRIVERS[i].path.replace(/\//g, "\\"), 90, 92);
  }
  if (DRIVERS.length) { must("configuring", "dism.exe /English /Image:W:\\ /Add-Driver /Driver:" + TARGET + "drivers /Recurse"); }
}

function pre_script() { // of the profile, batch, before anything is written
  if (PRE === "") { return; }
  write(OWN + "pre.cmd", PRE.replace(/\n/g, "\r\n"));
  must("start", "cmd.exe /d /c " + OWN + "pre.cmd");
}

function main() {
  if (!files.FolderExists(OWN)) { files.CreateFolder(OWN); }
  wmi = GetObject("winmgmts:\\\\.\\root\\cimv2");
  check_identity();
  started();
  if (PARTS.length === 0) { fail("start", "the image has no sources/install.wim, .esd or .swm"); }
  pre_script();
  progress("disks", 2, "asking which disk may be written");
  var disk = ask_for_disk(), uefi = is_uefi();
  partition(disk, uefi);
  retrieve_and_write();
  bootable(uefi);
  configure();
  progress("finishing", 98, "restarting into Windows");
  run("rmdir /s /q W:\\deployer");
  call(30, PHONE_HOME + "/installer_finished", "{}");
  stop("done");
}

try {
  main();
} catch (problem) {
  fail("start", "deployer.js broke off: " + (problem.message || problem));
}
