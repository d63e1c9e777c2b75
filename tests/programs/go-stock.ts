import { goProgram } from "../wasm/go-program.ts";

export default goProgram("stock");
