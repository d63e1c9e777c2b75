// A program that declares its host access: it can run while pages are missing. The module comes from whoever starts it.
import { defineProgram } from "../../bindings/guests/wasm/program.ts";
import { pagedModule } from "../wasm/paged-module.ts";
import { pagedProgram } from "../wasm/paged-program.ts";

export default defineProgram({
	name: "paged",
	version: "1",
	policy: { clock: "none", random: "none" },
	keepsMemoryViews: false,
	hostAccess: "declared",
	moduleBytes: () => pagedModule(),
	start: async (context) => pagedProgram(await context.instantiate({}), context),
});
