/** `pageferry demo --guest qemu` (machine-demo.ts): what it needs of this computer, and what is cleared away after it. */
import { qemuVersion, sweepInstances } from "../guests/qemu/index.ts";
import { DEFAULT_EXECUTABLE } from "../guests/qemu/qemu-host.ts";
import type { Platform } from "../ports/platform.ts";
import { machineCommand } from "./executables.ts";
import { type MachineDemoResult, type MachineDemoServices, runMachineDemo } from "./machine-demo.ts";
import type { MachineDemoOptions } from "./machine-options.ts";
import { MissingLinuxError } from "./missing-linux.ts";
import { QEMU_ASSETS } from "./qemu-side.ts";

/** Runs it. @throws {MissingLinuxError}, {QemuError} `not-installed`, and as {@link runMachineDemo} */
export async function runQemuDemo(
	options: MachineDemoOptions,
	services: MachineDemoServices,
): Promise<MachineDemoResult> {
	const { platform, display } = services;
	await checkMachine(platform);
	try {
		return await runMachineDemo(options, { ...services, command: machineCommand("qemu", services.dist) });
	} finally {
		// A process that had to be killed could not clear up.
		const left = await sweepInstances(platform.files);
		if (left > 0) display.step("command", `cleared away what ${left} killed processes had left`);
	}
}

async function checkMachine(platform: Platform): Promise<void> {
	for (const path of Object.values(QEMU_ASSETS)) {
		const [, folder = "", name = ""] = /^(.*)\/(.*)$/.exec(path) ?? [];
		if (!(await platform.files.names(folder)).includes(name))
			throw new MissingLinuxError(
				`${path} is missing: \`npm run guests\` in the project's repository prepares the Linux (root on Debian)`,
			);
	}
	await qemuVersion(platform, DEFAULT_EXECUTABLE);
}
