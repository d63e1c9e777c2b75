// The example program, as an entry of the tests: workers load it by URL.
export { default } from "../../examples/programs/roaring.ts";
