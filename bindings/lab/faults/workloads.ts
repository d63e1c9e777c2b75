/**
 * What the small guests of the fault simulation do: the lab's models, in sizes in which a move takes tens of virtual ms.
 *
 * | name | model | writes per ms |
 * | --- | --- | --- |
 * | `idle` | nothing | 0 |
 * | `sequential-read` | end to end, 1 ms a page | 0 |
 * | `sequential-write` | end to end, 0.5 ms a page | 2 |
 * | `random-writer` | any page, 0.4 ms each | 2.5 |
 * | `quicksort` | two processes, Hoare, 0.4 ms a page of a scan | 5 |
 * | `web-server` | walks of 6 pages, one in ten writes, 0.5 ms a page | 0.2 |
 * | `bit-torrent` | walks of 12 pages, six in ten write, 0.5 ms a page | 1.2 |
 * | `kernel-compile` | two processes, single pages, half of them written, 0.5 ms | 2 |
 * | `bulk-sender` | a hot eighth, seven in ten written, 0.4 ms | 1.75 |
 * | `growing` | as `random-writer`, and the guest grows by 5 pages once | 2.5 |
 */
import type { Random } from "../../ports/random.ts";
import type { Program } from "../program.ts";
import { idleWorkload, type Workload } from "../workload.ts";
import { Application } from "../workloads/application.ts";
import { ProgramWorkload } from "../workloads/program-workload.ts";
import { Quicksort } from "../workloads/quicksort.ts";
import { Sequential } from "../workloads/sequential.ts";

/** See the head of this file. */
export const WORKLOADS = [
	"idle",
	"sequential-read",
	"sequential-write",
	"random-writer",
	"quicksort",
	"web-server",
	"bit-torrent",
	"kernel-compile",
	"bulk-sender",
	"growing",
] as const;

/** See the head of this file. */
export type WorkloadName = (typeof WORKLOADS)[number];

/** Makes one for a guest of so many pages. */
export function faultWorkload(name: WorkloadName, pageCount: number, random: Random): Workload {
	const programs = faultPrograms(name, pageCount, random);
	return programs.length === 0 ? idleWorkload : new ProgramWorkload({ programs });
}

/** Its processes, as the pages they touch. */
export function faultPrograms(name: WorkloadName, pageCount: number, random: Random): readonly Program[] {
	const application = (runPages: number, writeShare: number, workMs: number, hotPages = pageCount) =>
		new Application({ ...{ firstPage: 0, pageCount, hotPages, hotShare: 0.6 }, runPages, writeShare, workMs, random });
	const half = pageCount >> 1;
	switch (name) {
		case "idle":
			return [];
		case "sequential-read":
			return [new Sequential({ firstPage: 0, pageCount, write: false, workMs: 1 })];
		case "sequential-write":
			return [new Sequential({ firstPage: 0, pageCount, write: true, workMs: 0.5 })];
		case "quicksort":
			return [0, half].map(
				(firstPage) => new Quicksort({ firstPage, pageCount: half, scheme: "hoare", workMs: 0.4, random }),
			);
		case "web-server":
			return [application(6, 0.1, 0.5)];
		case "bit-torrent":
			return [application(12, 0.6, 0.5)];
		case "kernel-compile":
			return [application(1, 0.5, 0.5, half), application(1, 0.5, 0.5, half)];
		case "bulk-sender":
			return [application(1, 0.7, 0.4, pageCount >> 3)];
		case "random-writer":
		case "growing":
			return [application(1, 1, 0.4)];
	}
}
