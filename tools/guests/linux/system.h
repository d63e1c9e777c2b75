/* What a program needs of Linux on a 32-bit x86, without a library: system calls, output, numbers. */
#pragma once

typedef unsigned int u32;
typedef unsigned char u8;

enum { SYS_EXIT = 1, SYS_READ = 3, SYS_WRITE = 4, SYS_MMAP = 90, SYS_SOCKETCALL = 102, SYS_NANOSLEEP = 162 };

static inline int system_call(int number, u32 a, u32 b, u32 c) {
	int result;
	__asm__ volatile("int $0x80" : "=a"(result) : "0"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}

static void quit(int code) {
	for (;;) system_call(SYS_EXIT, (u32)code, 0, 0);
}

/* One line is one write: lines of several programs on one console do not mix. */
struct line {
	char text[160];
	u32 length;
};

static inline void add(struct line *line, const char *text) {
	for (u32 i = 0; text[i] != 0 && line->length < sizeof line->text - 1; i++) line->text[line->length++] = text[i];
}

static inline void add_number(struct line *line, u32 number) {
	char digits[11];
	u32 at = sizeof digits - 1;
	digits[at] = 0;
	do digits[--at] = (char)('0' + number % 10);
	while ((number /= 10) != 0);
	add(line, digits + at);
}

static inline void print(struct line *line) {
	line->text[line->length++] = '\n';
	system_call(SYS_WRITE, 1, (u32)line->text, line->length);
	line->length = 0;
}

static inline u32 number_in(const char *text) {
	u32 number = 0;
	for (; *text >= '0' && *text <= '9'; text++) number = number * 10 + (u32)(*text - '0');
	return number;
}

static inline void pause_ms(u32 milliseconds) {
	u32 time[2] = {milliseconds / 1000, milliseconds % 1000 * 1000000};
	system_call(SYS_NANOSLEEP, (u32)time, 0, 0);
}

static int run(int count, char **arguments);

/* The stack at the start: the number of arguments, then the arguments. */
__attribute__((used)) static void begin(u32 *stack) {
	quit(run((int)stack[0], (char **)(stack + 1)));
}

__asm__(".globl _start\n_start: mov %esp, %eax\n and $-16, %esp\n sub $12, %esp\n push %eax\n call begin\n");
