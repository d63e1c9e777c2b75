// The demo of a Linux in v86, ended at drawn moments: nothing of it is left. `PAGEFERRY_INTERRUPTIONS=20` for more of them.
import { suite } from "uvu";
import { V86_READY } from "../../bindings/cli/v86-side.ts";
import { nodePlatform } from "../../bindings/platform/node/index.ts";
import { testInterruptions } from "../processes/interruptions.ts";

const test = suite("pageferry demo --guest v86, ended at drawn moments");
const isReady = (await nodePlatform().files.read(`${V86_READY}/manifest.json`)) !== undefined;
const obstacle = isReady ? undefined : `${V86_READY} is missing: npm run guests`;

if (obstacle === undefined) testInterruptions(test, ["demo", "--guest", "v86", "--to", "deno"]);
else test("skipped", () => console.log(`skipped: ${obstacle}`));

test.run();
