import { suite } from "uvu";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import { randomContract } from "./suites/random.ts";

const test = suite("system random");
randomContract(test, () => systemRandom);
test.run();
