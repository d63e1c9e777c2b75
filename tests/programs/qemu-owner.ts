// Starts a counting machine in the folder given, says so, and lets it run until this process is killed.
import { QemuStage } from "../qemu/stage.ts";

const stage = await QemuStage.open();
const guest = await stage.startCounter();
console.log(JSON.stringify({ folder: stage.folder, pid: guest.pid }));
await new Promise(() => setInterval(() => undefined, 1000));
