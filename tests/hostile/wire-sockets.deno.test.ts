import { connect } from "../../bindings/platform/deno/connect.ts";
import { listen } from "../../bindings/platform/deno/listen.ts";
import { wireOverSockets } from "../contract/suites/wire-over-sockets.ts";

wireOverSockets("wrong and dying peers over TCP on deno", { connect, listen });
