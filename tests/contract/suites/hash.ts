/** XXH3-64 by the engine, for the suites that need a link. */
import { createEngine } from "../../../bindings/engine/engine.ts";
import { hash64 } from "../../../bindings/engine/hash.ts";
import type { Hash64 } from "../../../bindings/wire/frame.ts";

const engine = createEngine();

export const testHash64: Hash64 = (bytes) => hash64(engine, bytes);
