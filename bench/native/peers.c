// The kernels in C, on the same bytes: what bench/kernels/ compares ours with. Reads commands, a line each:
//   load SLOT FILE      reads a file into slot a or b
//   run KERNEL SAMPLES  does the work so often and answers "median-nanoseconds result"
// gcc -O3 -march=native. -DHAVE_LZ4 and -DHAVE_XXHASH where the headers are.
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef HAVE_LZ4
#include <lz4.h>
#endif
#ifdef HAVE_XXHASH
#define XXH_INLINE_ALL
#include <xxhash.h>
#endif

enum { PAGE = 4096, STRIDE = 4224 };

static uint8_t *slots[2];
static size_t sizes[2];
static uint8_t *encoded, *made;
static int32_t *lengths;

static void *fresh(size_t size) {
	void *memory = aligned_alloc(64, (size + 4095) / 4096 * 4096 + 4096);
	memset(memory, 1, size);
	return memory;
}

// ---- pages

static double compare(void) {
	size_t pages = sizes[0] / PAGE, different = 0;
	for (size_t i = 0; i < pages; i++) {
		int is = memcmp(slots[0] + i * PAGE, slots[1] + i * PAGE, PAGE) != 0;
		encoded[i >> 3] |= is << (i & 7);
		different += is;
	}
	return different;
}

static double zero(void) {
	size_t pages = sizes[0] / PAGE, zeros = 0;
	for (size_t i = 0; i < pages; i++) {
		const uint8_t *page = slots[0] + i * PAGE;
		int is = 1;
#ifdef __AVX512F__
		for (size_t at = 0; at < PAGE && is; at += 256) {
			__m512i a = _mm512_or_si512(_mm512_load_si512(page + at), _mm512_load_si512(page + at + 64));
			__m512i b = _mm512_or_si512(_mm512_load_si512(page + at + 128), _mm512_load_si512(page + at + 192));
			a = _mm512_or_si512(a, b);
			is = _mm512_test_epi64_mask(a, a) == 0;
		}
#else
		for (size_t at = 0; at < PAGE && is; at += 256) {
			uint64_t any = 0, word;
			for (size_t k = 0; k < 256; k += 8) memcpy(&word, page + at + k, 8), any |= word;
			is = any == 0;
		}
#endif
		encoded[i >> 3] |= is << (i & 7);
		zeros += is;
	}
	return zeros;
}

// ---- hashes: the result is the sum of the low 32 bits

#ifdef HAVE_XXHASH
static double xxh64(void) {
	uint32_t sum = 0;
	for (size_t at = 0; at + PAGE <= sizes[0]; at += PAGE) {
		uint64_t hash = XXH3_64bits(slots[0] + at, PAGE);
		memcpy(encoded + at / PAGE * 8, &hash, 8);
		sum += (uint32_t)hash;
	}
	return sum;
}

static double xxh128(void) {
	uint32_t sum = 0;
	for (size_t at = 0; at + PAGE <= sizes[0]; at += PAGE) {
		XXH128_hash_t hash = XXH3_128bits(slots[0] + at, PAGE);
		memcpy(encoded + at / PAGE * 16, &hash, 16);
		sum += (uint32_t)hash.low64;
	}
	return sum;
}
#endif

// ---- XBZRLE, plain: words where that helps, bytes at the ends. The result is the sum of the lengths

static size_t put_length(uint8_t *to, size_t length) {
	if (length < 128) return to[0] = length, 1;
	to[0] = (length & 127) | 128;
	to[1] = length >> 7;
	return 2;
}

static uint64_t word_at(const uint8_t *from) {
	uint64_t word;
	memcpy(&word, from, 8);
	return word;
}

static int has_zero_byte(uint64_t word) {
	return ((word - 0x0101010101010101ull) & ~word & 0x8080808080808080ull) != 0;
}

static size_t same_until(const uint8_t *old, const uint8_t *page, size_t at) {
	while (at < PAGE && (at & 7) && old[at] == page[at]) at++;
	if (at < PAGE && (at & 7)) return at;
	while (at < PAGE && word_at(old + at) == word_at(page + at)) at += 8;
	while (at < PAGE && old[at] == page[at]) at++;
	return at;
}

static size_t changed_until(const uint8_t *old, const uint8_t *page, size_t at) {
	while (at < PAGE && (at & 7) && old[at] != page[at]) at++;
	if (at < PAGE && (at & 7)) return at;
	while (at < PAGE && !has_zero_byte(word_at(old + at) ^ word_at(page + at))) at += 8;
	while (at < PAGE && old[at] != page[at]) at++;
	return at;
}

static int32_t xbzrle_page(const uint8_t *old, const uint8_t *page, uint8_t *to, size_t capacity) {
	size_t at = 0, out = 0;
	while (at < PAGE) {
		if (out + 2 > capacity) return -1;
		size_t from = at;
		at = same_until(old, page, at);
		if (at == PAGE) break;
		out += put_length(to + out, at - from);
		if (out + 2 > capacity) return -1;
		from = at;
		at = changed_until(old, page, at);
		out += put_length(to + out, at - from);
		if (out + (at - from) > capacity) return -1;
		memcpy(to + out, page + from, at - from);
		out += at - from;
	}
	return out;
}

static double xbzrle_encode(void) {
	double sum = 0;
	for (size_t at = 0, i = 0; at + PAGE <= sizes[0]; at += PAGE, i++) {
		lengths[i] = xbzrle_page(slots[0] + at, slots[1] + at, encoded + i * STRIDE, PAGE);
		sum += lengths[i];
	}
	return sum;
}

static int get_length(const uint8_t *from, size_t left, size_t *length) {
	if (left < 1) return -1;
	*length = from[0];
	if (from[0] < 128) return 1;
	if (left < 2 || from[1] > 127) return -1;
	*length = (from[0] & 127) | from[1] << 7;
	return 2;
}

static int32_t xbzrle_apply(const uint8_t *from, size_t size, uint8_t *page) {
	size_t at = 0, out = 0, length;
	while (at < size) {
		int used = get_length(from + at, size - at, &length);
		if (used < 0 || (at > 0 && length == 0)) return -1;
		at += used;
		out += length;
		if (out > PAGE) return -1;
		used = get_length(from + at, size - at, &length);
		if (used < 0 || length == 0) return -1;
		at += used;
		if (out + length > PAGE || at + length > size) return -1;
		memcpy(page + out, from + at, length);
		out += length;
		at += length;
	}
	return out;
}

static double xbzrle_decode(void) {
	double sum = 0;
	for (size_t at = 0, i = 0; at + PAGE <= sizes[0]; at += PAGE, i++)
		if (lengths[i] > 0) sum += xbzrle_apply(encoded + i * STRIDE, lengths[i], made + at);
	return sum;
}

// ---- LZ4. The result is the sum of the lengths

#ifdef HAVE_LZ4
static double lz4_encode(void) {
	double sum = 0;
	for (size_t at = 0, i = 0; at + PAGE <= sizes[0]; at += PAGE, i++) {
		lengths[i] = LZ4_compress_default((char *)slots[0] + at, (char *)encoded + i * STRIDE, PAGE, STRIDE);
		sum += lengths[i];
	}
	return sum;
}

static double lz4_decode(void) {
	double sum = 0;
	for (size_t at = 0, i = 0; at + PAGE <= sizes[0]; at += PAGE, i++)
		sum += LZ4_decompress_safe((char *)encoded + i * STRIDE, (char *)made + at, lengths[i], PAGE);
	return sum;
}
#endif

// ---- bitmaps: slot a as 64-bit words; harvesting clears them, so the work goes on in a copy

static double harvest(void) {
	uint64_t *words = (uint64_t *)made;
	uint32_t *list = (uint32_t *)encoded;
	size_t found = 0;
	for (size_t i = 0; i < sizes[0] / 8; i++) {
		uint64_t word = words[i];
		if (!word) continue;
		words[i] = 0;
		while (word) {
			list[found++] = i * 64 + __builtin_ctzll(word);
			word &= word - 1;
		}
	}
	return found;
}

static double count(void) {
	const uint64_t *words = (const uint64_t *)slots[0];
	size_t found = 0;
	for (size_t i = 0; i < sizes[0] / 8; i++) found += __builtin_popcountll(words[i]);
	return found;
}

// ---- commands

static const struct {
	const char *name;
	double (*run)(void);
	int restores; // puts a copy of slot a into `made` before each sample
} kernels[] = {
	{"compare", compare, 0}, {"zero", zero, 0},
#ifdef HAVE_XXHASH
	{"xxh64", xxh64, 0}, {"xxh128", xxh128, 0},
#endif
	{"xbzrle-encode", xbzrle_encode, 0}, {"xbzrle-decode", xbzrle_decode, 0},
#ifdef HAVE_LZ4
	{"lz4-encode", lz4_encode, 0}, {"lz4-decode", lz4_decode, 0},
#endif
	{"harvest", harvest, 1}, {"count", count, 0},
};

static int by_value(const void *a, const void *b) {
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double now(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void load(int slot, const char *path) {
	FILE *file = fopen(path, "rb");
	if (!file) exit(1);
	fseek(file, 0, SEEK_END);
	size_t size = ftell(file);
	rewind(file);
	free(slots[slot]);
	slots[slot] = fresh(size);
	sizes[slot] = size;
	if (fread(slots[slot], 1, size, file) != size) exit(1);
	fclose(file);
	if (slot != 0) return;
	free(encoded), free(made), free(lengths);
	// Room for encoded pages, and for a list of all bits.
	size_t pages = size / PAGE + 1, room = pages * STRIDE > size * 32 ? pages * STRIDE : size <= 16 << 20 ? size * 32 : pages * STRIDE;
	encoded = fresh(room);
	made = fresh(size);
	lengths = fresh(pages * 4);
	memcpy(made, slots[0], size);
}

static void run(const char *name, int samples) {
	static double times[4096];
	for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
		if (strcmp(kernels[k].name, name)) continue;
		double result = 0;
		for (int i = 0; i < samples; i++) {
			if (kernels[k].restores) memcpy(made, slots[0], sizes[0]);
			double started = now();
			result = kernels[k].run();
			times[i] = now() - started;
		}
		qsort(times, samples, sizeof *times, by_value);
		printf("%.0f %.0f\n", times[samples / 2], result);
		fflush(stdout);
		return;
	}
	puts("unknown 0");
	fflush(stdout);
}

int main(void) {
	static char line[4096], word[4096];
	char slot;
	int samples;
	while (fgets(line, sizeof line, stdin)) {
		if (sscanf(line, "load %c %4000s", &slot, word) == 2) load(slot - 'a', word), puts("0 0"), fflush(stdout);
		else if (sscanf(line, "run %4000s %d", word, &samples) == 2) run(word, samples);
	}
}
