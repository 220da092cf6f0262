/* A program for a Cortex-M4 without any library, behind model.c: classes of the images that an emulator gives it by
   semihosting, then the instructions of the last answer and the bytes of stack that were used. */
static float weights[WEIGHTS + 1], scratch[SCRATCH + 1], x[INPUT], y[OUTPUT];
static uint8_t bytes[INPUT];
extern uint32_t stack_end[], stack_top[];

/* What the compiler makes of large zeros. */
void *memset(void *to, int byte, unsigned n) {
    volatile uint8_t *at = to;
    while (n--) *at++ = (uint8_t)byte;
    return to;
}

static uint32_t host(uint32_t call, const void *with) {
    register uint32_t r0 __asm__("r0") = call;
    register const void *r1 __asm__("r1") = with;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void print(uint32_t number, char end) {
    char text[12];
    uint32_t at = 11;
    text[at] = 0;
    text[--at] = end;
    do text[--at] = (char)('0' + number % 10); while (number /= 10);
    host(4, text + at);
}

static __attribute__((noinline)) void answer(void) {
    volatile uint32_t *clock = (volatile uint32_t *)0xe000e010;
    const void *in[3] = { ":tt", 0, (void *)3 };
    uint32_t i, best, ticks = 0, *stack = stack_end;
    /* What is painted of the stack shows later whether it was used. */
    while (stack < (uint32_t *)__builtin_frame_address(0) - 64) *stack++ = 0x5a5a5a5a;
    in[0] = (const void *)host(1, in);
    in[1] = bytes;
    in[2] = (const void *)INPUT;
    clock[1] = 0xffffff;
    clock[0] = 5;
    decode(weights);
    while (host(6, in) == 0) {
        for (i = 0; i < INPUT; i++) x[i] = (float)bytes[i] / 255.0f;
        clock[2] = 0;
        run(weights, scratch, x, y);
        ticks = 0xffffff - clock[2];
        for (best = 0, i = 1; i < OUTPUT; i++) if (y[i] > y[best]) best = i;
#ifdef BITS
        /* A digit of a checksum of the scores' bits, to compare machines by. */
        for (best = 0, i = 0; i < OUTPUT; i++) {
            union { float f; uint32_t u; } v;
            v.f = y[i];
            best = (best ^ v.u) * 16777619u;
        }
        best %= 10;
#endif
        print(best, '\n');
    }
    for (stack = stack_end; *stack == 0x5a5a5a5a; stack++) {}
    print(ticks, ' ');
    print((uint32_t)(stack_top - stack) * 4, '\n');
    host(0x18, (void *)0x20026);
    for (;;) {}
}

/* Switches the unit for floats on, before anything uses it. */
void start(void) {
    *(volatile uint32_t *)0xe000ed88 |= 0xf << 20;
    __asm__ volatile("dsb\nisb");
    answer();
}

__attribute__((section(".vectors"), used)) static const void *const vectors[2] = { stack_top, (void *)start };
