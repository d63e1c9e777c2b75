import { connect } from "../../bindings/platform/node/connect.ts";
import { listen } from "../../bindings/platform/node/listen.ts";
import { wireOverSockets } from "../contract/suites/wire-over-sockets.ts";

wireOverSockets("wrong and dying peers over TCP on node", { connect, listen });
