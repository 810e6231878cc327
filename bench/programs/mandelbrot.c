/* The Mandelbrot set, point by point. */
#include "bench.h"

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv);
    uint64_t sum = 0;
    for (int row = 0; row < size; row++) {
        for (int column = 0; column < 200; column++) {
            double cr = column / 80.0 - 2.0, ci = row * 2.5 / size - 1.25, zr = 0, zi = 0;
            int n = 0;
            while (n < 100 && zr * zr + zi * zi < 4) {
                double t = zr * zr - zi * zi + cr;
                zi = 2 * zr * zi + ci;
                zr = t;
                n++;
            }
            sum = sum * 3 + (uint64_t)n;
        }
    }
    return bench_result(sum);
}
