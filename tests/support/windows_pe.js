// Plays the part of Windows PE for deployer.js, under Node.js: its files, its disks, its programs.
// Reads {script, macs, serial, uuid, uefi, drives, storage, answers, images, fails} as JSON from
// standard input; prints what was done: {commands, calls, scripts, ended, said}.
"use strict";
const world = JSON.parse(require("fs").readFileSync(0, "utf8"));
const disk = new Map(Object.entries(world.files || {}));
const done = {commands: [], calls: [], scripts: {}, said: [], slept: 0};

function ended(why) { // as a restart does: nothing of the script runs on, not even a `catch`
  done.stopped = why;
  require("fs").writeSync(1, JSON.stringify(done));
  process.exit(0);
}

function rows(query, service) {
  const table = /FROM (\w+)/.exec(query)[1], found = (service || {})[table];
  if (found === undefined) { throw new Error("invalid class " + table); }
  const where = /WHERE (\w+) = (\d+)/.exec(query);
  return found.filter((row) => !where || String(row[where[1]]) === where[2]).map((row) => ({
    Properties_: {
      Item: (name) => {
        if (!(name in row)) { throw new Error("Not found"); }
        return {Value: row[name]};
      }
    }
  }));
}

const cim = {
  Win32_NetworkAdapter: (world.macs || []).map((mac) => ({MACAddress: mac})),
  Win32_BIOS: [{SerialNumber: world.serial || ""}],
  Win32_ComputerSystemProduct: [{UUID: world.uuid || ""}],
  Win32_ComputerSystem: [{Manufacturer: "QEMU", Model: "Standard \"PC\"", TotalPhysicalMemory: "8589934592"}],
  Win32_DiskDrive: world.drives || [],
  Win32_DiskPartition: world.partitions || []
};

global.WScript = {
  Echo: (text) => done.said.push(text),
  Sleep: (time) => { done.slept += time; if (done.slept > 3600000) { ended("sleeps for ever"); } },
  Quit: () => ended("quit")
};
global.GetObject = (name) => {
  if (world.no_wmi) { throw new Error("Automation server can't create object"); }
  if (/Storage$/.test(name)) {
    if (!world.storage) { throw new Error("invalid namespace"); }
    return {ExecQuery: (query) => rows(query, world.storage)};
  }
  return {ExecQuery: (query) => rows(query, cim)};
};
global.Enumerator = function Enumerator(list) {
  let place = 0;
  this.atEnd = () => place >= list.length;
  this.moveNext = () => { place += 1; };
  this.item = () => list[place];
};

function curl(command) {
  const url = /(\S+)$/.exec(command)[1].replace(/"/g, "");
  const download = / -f /.test(command);
  if (download) {
    const path = /-o "([^"]+)"/.exec(command)[1];
    const part = Object.entries(world.sizes).find(([name]) => url.endsWith(name));
    if (!part) { return 22; }
    disk.set(path, {length: part[1]});
    return 0;
  }
  const body = disk.get("X:\\deployer\\body.txt");
  done.calls.push([url, body]);
  const name = url.split("/").pop();
  const [status, answer] = (world.answers || {})[name] || [200, "ok"];
  disk.set("X:\\deployer\\answer.txt", answer);
  disk.set("X:\\deployer\\status.txt", String(status));
  return status ? 0 : 7;
}

function program(command, output) {
  const failing = (world.fails || []).find((word) => command.includes(word));
  if (failing) { return 1; }
  if (command.startsWith("curl.exe")) { return curl(command); }
  if (command.startsWith("diskpart.exe")) {
    done.scripts.diskpart = disk.get("X:\\deployer\\diskpart.txt").split("\r\n").slice(0, -1);
  }
  if (command.includes("pre.cmd")) { done.scripts.pre = disk.get("X:\\deployer\\pre.cmd"); }
  if (command.includes("/Get-ImageInfo")) {
    const image = (world.images || [])[Number(/Index:(\d+)/.exec(command)[1]) - 1];
    if (!image) { return 87; }
    disk.set(output, "Details for image\r\nName : x\r\nEdition : " + image[0] + "\r\nInstallation : " + image[1] + "\r\nProductType : y\r\n");
  }
  if (command.includes("wpeutil.exe reboot")) { ended("reboot"); }
  return 0;
}

class Shell {
  Exec(line) {
    const command = /^cmd\.exe \/s \/c "(.*)"$/.exec(line)[1];
    const parts = /^(.*?) (?:>(\S+) 2>>X:\\deployer\\log\.txt|>>X:\\deployer\\log\.txt 2>&1)$/.exec(command);
    done.commands.push(parts[1]);
    return {Status: 1, ExitCode: program(parts[1], parts[2])};
  }
  RegRead() { return world.uefi ? 2 : 1; }
}
class Files {
  FileExists(path) { return disk.has(path); }
  FolderExists() { return false; }
  DriveExists() { return !world.no_drives; }
  CreateFolder() {}
  GetFile(path) { return {Size: disk.get(path).length}; }
  DeleteFile(path) { if (!disk.delete(path)) { throw new Error("no file " + path); } }
  OpenTextFile(path) { return {AtEndOfStream: false, ReadAll: () => String(disk.get(path)), Close() {}}; }
  CreateTextFile(path) {
    disk.set(path, "");
    return {
      Write: (text) => {
        if (/[^\x00-\x7f]/.test(text)) { throw new Error("Invalid procedure call or argument"); }
        disk.set(path, text);
      },
      Close() {}
    };
  }
}
global.ActiveXObject = function ActiveXObject(name) {
  return name === "WScript.Shell" ? new Shell() : new Files();
};

(0, eval)(world.script);
ended("its end");
