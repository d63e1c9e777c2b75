/* The boot sector of our own 512-byte guest (bytes in boot-sector.ts; `as --32` and `objcopy -O binary` make them again).
 *
 * Protected mode, 4 KiB pages mapped one to one up to 16 MiB, a timer interrupt every 10 ms. It does what `mode` says:
 *   0   nothing: waits for interrupts
 *   1   the memory oracle of QEMU's migration tests: one byte in every page from `first` to `end` is incremented, in order,
 *       for ever; at each round's end a letter goes to the serial port: A, B … Z, A …
 *   2   changes nothing but registers, as fast as it goes, and the timer's count
 *   3   nothing at all, for ever: the timer is off as well, and `rounds` is −1
 * At any time all those bytes are equal but for one step: pages before it have the round's value, pages behind the last one's.
 */
.set mode, 0x500        /* written by the host */
.set rounds, 0x504
.set ticks, 0x508
.set first, 0x50c
.set end, 0x510
.set idt, 0x800         /* 33 gates: 0x20 is the timer */
.set directory, 0x10000
.set tables, 0x11000    /* four: 16 MiB */

.code16
	cli
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	lgdt gdt_register - start + 0x7c00
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmp $8, $(protected - start + 0x7c00)
.set start, 0

.code32
protected:
	mov $16, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $0x7000, %esp
	cld
	/* Page tables: entry i maps page i, present and writable. */
	mov $tables, %edi
	mov $3, %eax
	mov $4096, %ecx
1:	stosl
	add $4096, %eax
	loop 1b
	mov $directory, %edi
	mov $(tables + 3), %eax
	mov $4, %cl
2:	stosl
	add $4096, %eax
	loop 2b
	mov $directory, %eax
	mov %eax, %cr3
	mov %cr0, %eax
	or $0x80010000, %eax
	mov %eax, %cr0
	/* The gate of interrupt 0x20, and the interrupt controller: IRQ 0 is interrupt 0x20, the others are off. */
	movl $(0x80000 + (timer - start + 0x7c00)), idt + 0x100
	movl $0x8e00, idt + 0x104
	lidt idt_register - start + 0x7c00
	mov $0x11, %al
	out %al, $0x20
	mov $0x20, %al
	out %al, $0x21
	mov $4, %al
	out %al, $0x21
	mov $1, %al
	out %al, $0x21
	mov $0xfe, %al
	out %al, $0x21
	/* The timer: 1193182 Hz / 11932 is 100 Hz. */
	mov $0x34, %al
	out %al, $0x43
	mov $0x9c, %al
	out %al, $0x40
	mov $0x2e, %al
	out %al, $0x40
	movl $0x100000, first
	movl $0x400000, end
	sti
main:
	mov mode, %eax
	cmp $1, %eax
	je oracle
	cmp $2, %eax
	je main
	cmp $3, %eax
	je still
	hlt
	jmp main
still:
	movl $-1, rounds
	cli
	hlt
oracle:
	mov first, %edi
3:	incb (%edi)
	mov $200, %ecx
4:	loop 4b
	add $4096, %edi
	cmp end, %edi
	jb 3b
	mov rounds, %eax
	incl rounds
	xor %edx, %edx
	mov $26, %ecx
	div %ecx
	lea 'A'(%edx), %eax
	mov $0x3f8, %dx
	out %al, %dx
	jmp main
timer:
	push %eax
	incl ticks
	mov $0x20, %al
	out %al, $0x20
	pop %eax
	iret
.align 4
gdt:	.quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdt_register:
	.word 23
	.long gdt - start + 0x7c00
idt_register:
	.word 0x107
	.long idt
.org 510
	.word 0xaa55
