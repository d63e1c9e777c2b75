// The ceiling of any move over this loopback: bytes from one node:net process to another.
//   node raw-peer.mjs BYTES      the receiver; starts the sender itself
// The sender writes 64 KiB at a time, the receiver copies into a buffer of the whole size, touched beforehand. For each
// line on standard input, a rate in bytes per ms or 0 for as fast as it goes, one transfer is made; its duration in ms, on the sender's clock, from the first write until the
// receiver has said that it has everything, is printed.
import { spawn } from "node:child_process";
import { connect, createServer } from "node:net";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const WRITE_BYTES = 64 * 1024;
const [byteLength, port] = process.argv.slice(2).map(Number);

function receive() {
	const buffer = Buffer.alloc(byteLength, 1);
	let filled = 0;
	const server = createServer({ noDelay: true }, (socket) => {
		socket.on("data", (chunk) => {
			chunk.copy(buffer, filled);
			filled += chunk.length;
			if (filled < byteLength) return;
			filled = 0;
			socket.write("!");
		});
		socket.on("close", () => server.close());
	});
	server.listen(0, "127.0.0.1", () => {
		const args = [fileURLToPath(import.meta.url), String(byteLength), String(server.address().port)];
		spawn(process.execPath, args, { stdio: "inherit" });
	});
}

function send() {
	const source = Buffer.alloc(byteLength, 2);
	const socket = connect({ port, host: "127.0.0.1", noDelay: true });
	let startedMs = 0;
	socket.on("data", () => console.log(performance.now() - startedMs));
	const transfer = (bytesPerMs) => {
		startedMs = performance.now();
		let at = 0;
		const write = () => {
			while (at < byteLength) {
				if (bytesPerMs > 0 && at > (performance.now() - startedMs) * bytesPerMs) {
					setTimeout(write, 1);
					return;
				}
				const more = socket.write(source.subarray(at, at + WRITE_BYTES));
				at += WRITE_BYTES;
				if (!more) {
					socket.once("drain", write);
					return;
				}
			}
		};
		write();
	};
	socket.on("connect", () => {
		console.log("ready");
		const orders = createInterface({ input: process.stdin });
		orders.on("line", (line) => transfer(Number(line)));
		orders.on("close", () => socket.end());
	});
}

if (Number.isNaN(byteLength)) throw new RangeError("node raw-peer.mjs BYTES");
if (port === undefined) receive();
else send();
