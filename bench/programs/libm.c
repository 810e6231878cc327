/* The functions of the C library's mathematics part. */
#include <math.h>

#include "bench.h"

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    double sum = 0;
    for (int i = 1; i <= size; i++) {
        double x = i % 1000 * 0.0131237 + 0.0107;
        sum += sin(x) + cos(x) + tan(x * 0.1) + exp(-x) + log(x) + pow(x, 0.3) + atan2(x, 2) +
               cbrt(x) + tanh(x) + erf(x) + fmod(x, 0.7310585) + floor(x) + hypot(x, 1) + log1p(x) +
               asin(x / 20) + (double)sinf((float)x) + (double)expf((float)-x);
    }
    return bench_result_float(sum);
}
