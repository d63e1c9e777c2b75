// The demo of a Linux under QEMU, ended at drawn moments: nothing of it is left. `PAGEFERRY_INTERRUPTIONS=20` for more of them.
import { suite } from "uvu";
import { testInterruptions } from "../processes/interruptions.ts";
import { whyNoLinux } from "../qemu/linux.ts";
import { openPlatform, whyNoQemu } from "../qemu/stage.ts";

const test = suite("pageferry demo --guest qemu, ended at drawn moments");
const { platform } = await openPlatform();
const obstacle = (await whyNoQemu(platform)) ?? (await whyNoLinux(platform.files));

if (obstacle === undefined) testInterruptions(test, ["demo", "--guest", "qemu", "--to", "deno"]);
else test("skipped", () => console.log(`skipped: ${obstacle}`));

test.run();
