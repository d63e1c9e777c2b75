// What tests ask of the third-party programs: each request reads what those before it have written.

/** Request number i of a history that reads what it wrote before. */
export const HISTORIES: Readonly<Record<string, (i: number) => string>> = {
	sqlite: (i) =>
		i === 0
			? "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)"
			: `INSERT INTO t VALUES (${i}, hex(zeroblob(${(i * 37) % 500})) || '${i * 7919}');
				UPDATE t SET v = v || 'x' WHERE k = ${i >> 1}; SELECT count(*), sum(length(v)), max(v) FROM t`,
	quickjs: (i) =>
		i === 0
			? "globalThis.rows = []; 0"
			: `rows.push({ i: ${i}, s: 'row'.repeat(${i % 50}) }); rows[${i >> 1} % rows.length].s += 'x';
				[rows.length, rows.reduce((sum, row) => sum + row.s.length, 0)]`,
	"quickjs-wasi": (i) =>
		i === 0
			? "globalThis.table = new Map(); 0"
			: `table.set(${i}, 'row'.repeat(${i % 50})); table.set(${i >> 1}, (table.get(${i >> 1}) ?? '') + 'x');
				[table.size, [...table.values()].reduce((sum, text) => sum + text.length, 0)]`,
	lua: (i) =>
		i === 0
			? "data.rows = {}"
			: `data.rows[#data.rows + 1] = { i = ${i}, s = ('row'):rep(${i % 50}) }
				local row = data.rows[${i >> 1} % #data.rows + 1] row.s = row.s .. 'x'
				local sum = 0 for _, r in ipairs(data.rows) do sum = sum + #r.s end return sum`,
	zstd: (i) => `row ${i}: ${String((i * 7919) % 104_729).repeat(i % 40)}`,
	roaring: (i) => `${(i * 104_729) % 1_000_000} ${1 + (i % 13)} ${i * 7}`,
};
