// The plain demo, ended at drawn moments: nothing of it is left. `PAGEFERRY_INTERRUPTIONS=20` for more of them.
import { suite } from "uvu";
import { testInterruptions } from "./interruptions.ts";

const test = suite("the pageferry command, ended at drawn moments");

testInterruptions(test, ["demo", "--memory", "16", "--requests", "400", "--load", "400", "--link", "unix"]);

test.run();
