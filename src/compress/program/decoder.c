enum { CONTEXTS = 5120 };

typedef struct { uint32_t at, code, range; uint16_t seen[CONTEXTS][2]; } Decoder;

/* Six bits: letters are those from # to b, and zeros follow them. */
static uint32_t letter(uint32_t i) { return i < sizeof data - 1 ? data[i] - 35u : 0u; }

static void shift(Decoder *d) {
    uint32_t i = d->at / 6, twelve = letter(i) << 6 | letter(i + 1);
    d->code = d->code << 8 | (twelve >> (4 - d->at % 6) & 255);
    d->at += 8;
}

static uint32_t bit(Decoder *d, uint32_t context) {
    uint16_t *seen = d->seen[context];
    uint32_t zeros = seen[0], ones = seen[1], one;
    uint32_t p = ((2 * ones + 1) << 16) / (2 * (zeros + ones) + 2);
    uint32_t bound = (uint32_t)(((uint64_t)d->range * p) >> 16);
    one = d->code < bound;
    if (one) d->range = bound;
    else { d->code -= bound; d->range -= bound; }
    while (d->range < 1u << 24) { shift(d); d->range <<= 8; }
    seen[one]++;
    if (zeros + ones == 1023) { seen[0] = (uint16_t)(zeros / 2); seen[1] = (uint16_t)(ones / 2); }
    return one;
}

static uint32_t symbol(Decoder *d, uint32_t bits, uint32_t first) {
    uint32_t node = 1, k;
    for (k = 0; k < bits; k++) node = node * 2 + bit(d, first + node);
    return node - (1u << bits);
}

static float number(Decoder *d) {
    union { float f; uint32_t u; } v;
    uint32_t k;
    v.u = 0;
    for (k = 0; k < 4; k++) v.u = v.u << 8 | symbol(d, 8, k << 8);
    return v.f;
}

static void numbers(Decoder *d, float *to, uint32_t n) {
    uint32_t i;
    for (i = 0; i < n; i++) to[i] = number(d);
}

static void codes(Decoder *d, float *to, uint32_t n, uint32_t bits, uint32_t back) {
    uint32_t i;
    for (i = 1024; i < CONTEXTS; i++) d->seen[i][0] = d->seen[i][1] = 0;
    for (i = 0; i < n; i++) {
        uint32_t before = back && i >= back ? (uint32_t)to[i - back] : 0;
        to[i] = (float)symbol(d, bits, 1024 + (before << bits));
    }
}

static void looked_up(Decoder *d, float *to, uint32_t n, uint32_t k) {
    float table[256];
    uint32_t i;
    numbers(d, table, k);
    for (i = 0; i < n; i++) to[i] = table[(uint32_t)to[i]];
}

static void stepped(Decoder *d, float *to, uint32_t n, uint32_t group, float zero) {
    uint32_t i;
    float step = 0.0f;
    for (i = 0; i < n; i++) {
        if (i % group == 0) step = number(d);
        to[i] = (to[i] - zero) * step;
    }
}

static void unpruned(Decoder *d, float *to, uint32_t n) {
    uint32_t i;
    for (i = 0; i < n; i++) if (to[i] != 0.0f) to[i] = number(d);
}
