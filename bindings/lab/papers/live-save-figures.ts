/**
 * The figures of Chuang and Huang, Live Save and Improved Live Save, as far as they are given in numbers (table 4), and
 * what follows from them. Caps are per cent of a CPU; 0 stands for idle here, the paper's own 0 (unlimited) for 100.
 */

/** Written half of a 1 GB guest, in pages. */
export const HALF_PAGES = 131_072;

/** The network from Live Migration's plateau: the written half in 4.699 s. */
export const NETWORK_BYTES_PER_MS: number = (HALF_PAGES * 4096) / 4699;

/** The live local write from Live Save's plateau: the written half in 5.855 s. */
export const DISK_BYTES_PER_MS: number = (HALF_PAGES * 4096) / 5855;

/** Xen Save's plain sequential write: 1 GB in 9.1515 s. */
export const SAVE_BYTES_PER_MS: number = (2 * HALF_PAGES * 4096) / 9151.5;

/** The caps of table 4. */
export const TABLE_CAPS: readonly number[] = [0, 1, 4, 7, 10, 13, 16, 19, 22, 25];

/** Table 4: downtime in ms of a 1 GB guest, by cap. */
export const DOWNTIMES_MS = {
	liveMigration: [3.9, 4.8, 5.1, 1715.2, 3922.8, 4290.35, 4413.7, 4520.4, 4631.45, 4698.65],
	liveMigrationSave: [3.85, 51.1, 8.55, 4343.15, 5728.5, 6964.8, 6609.7, 5909.85, 6495.65, 5394.4],
	liveSave: [9.7, 31.55, 192.4, 4495.7, 4641.45, 5279.05, 5443, 5730.95, 5781.55, 5855.2],
	improvedLiveSave: [7.5, 6.9, 15.2, 3272.05, 4825.15, 5301.4, 5525.35, 5677, 5928, 5919.8],
} as const;

/** Xen Save's downtime, at every cap. */
export const SAVE_DOWNTIME_MS = 9151.5;
