// Connects to PORT and neither reads nor writes, until it is killed.
import { print, programArguments, thisPlatform } from "./this-runtime.ts";

const platform = await thisPlatform();
const [port = "0"] = programArguments;
const stream = await platform.connect({ transport: "tcp", host: "localhost", port: Number(port) });
print("connected");
await platform.clock.sleep(Number.POSITIVE_INFINITY);
await stream.close();
