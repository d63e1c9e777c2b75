// Our own programs that run inside a Linux guest: C without a library (linux/system.h), 32-bit, one static file each.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { Missing } from "./debian.mjs";

const FLAGS = [
	...["-m32", "-march=i586", "-Os", "-static", "-nostdlib", "-ffreestanding", "-fno-pic", "-no-pie"],
	...[
		"-fno-stack-protector",
		"-fno-asynchronous-unwind-tables",
		"-Wall",
		"-Wextra",
		"-Werror",
		"-Wno-return-type",
		"-Wl,--build-id=none",
		"-s",
	],
];

/** @returns the program's bytes */
export function compileProgram(source, output) {
	const done = spawnSync("gcc", [...FLAGS, source, "-o", output], { encoding: "utf8" });
	if (done.status !== 0) throw new Missing(`${source} does not compile\n${done.stderr ?? done.error}`);
	return readFileSync(output);
}
