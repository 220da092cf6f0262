static float max_of(float a, float b) { return a > b ? a : b; }

static float min_of(float a, float b) { return a < b ? a : b; }

static uint32_t bits_of(float x) { union { float f; uint32_t u; } v; v.f = x; return v.u; }

static float float_of(uint32_t u) { union { float f; uint32_t u; } v; v.u = u; return v.f; }

static float abs_of(float x) { return float_of(bits_of(x) & 0x7fffffffu); }

static int32_t row_of(float x, int32_t rows) { return (int32_t)min_of(max_of(x, 0.0f), (float)rows - 1.0f); }

/* The exponential between -87 and 88, else that of the nearer end: within 2e-7 of it, relatively. */
static float exp_of(float x) {
    int32_t n;
    float r, p;
    x = min_of(max_of(x, -87.0f), 88.0f);
    n = (int32_t)(x * 1.442695f + (x < 0.0f ? -0.5f : 0.5f));
    r = x - (float)n * 0.693359375f + (float)n * 2.12194440e-4f;
    p = ((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r + 4.1665795894e-2f;
    p = ((p * r + 1.6666665459e-1f) * r + 5.0000001201e-1f) * r * r + r + 1.0f;
    return p * float_of((uint32_t)(n + 127) << 23);
}

/* The logarithm of a normal positive number within 2e-7, relatively or absolutely; of others minus
   infinity. */
static float log_of(float x) {
    int32_t n = 0;
    float m = x, s, q, p;
    if (x < 1.17549435e-38f) return float_of(0xff800000u);
    n = (int32_t)((bits_of(x) - 0x3f3504f3u + 0x40000000u) >> 23) - 128;
    m = float_of(bits_of(x) - ((uint32_t)n << 23));
    s = (m - 1.0f) / (m + 1.0f);
    q = s * s;
    p = (((q * 0.11111111f + 0.14285714f) * q + 0.2f) * q + 0.33333333f) * q * s;
    return 2.0f * p + (float)n * -2.12194440e-4f + 2.0f * s + (float)n * 0.693359375f;
}

/* The square root of a normal positive number within 2e-7, relatively; 0 of what is smaller. */
static float sqrt_of(float x) {
    float y;
    if (x < 1.17549435e-38f) return 0.0f;
    y = float_of((bits_of(x) >> 1) + 0x1fbd1df5u);
    y = 0.5f * (y + x / y);
    y = 0.5f * (y + x / y);
    return 0.5f * (y + x / y);
}

/* The logistic function within 2e-7. */
static float sigmoid_of(float x) { return 1.0f / (1.0f + exp_of(-x)); }

/* The hyperbolic tangent within 3e-7. */
static float tanh_of(float x) {
    float e = exp_of(-2.0f * abs_of(x)), y = (1.0f - e) / (1.0f + e);
    return x < 0.0f ? -y : y;
}

/* The error function within 6e-7: formula 7.1.26 of Abramowitz and Stegun. */
static float erf_of(float x) {
    float a = abs_of(x), t = 1.0f / (1.0f + 0.3275911f * a), p, y;
    p = (((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t + 0.254829592f;
    y = 1.0f - p * t * exp_of(-a * a);
    return x < 0.0f ? -y : y;
}
