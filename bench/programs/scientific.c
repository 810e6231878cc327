/* The mix that scientific programs of the seventies were measured to have: array elements,
 * conditional jumps, integer arithmetic, trigonometric and standard functions, procedure calls. */
#include <math.h>

#include "bench.h"

static double e1[4];

__attribute__((noinline)) static void on_array(double *e)
{
    for (int j = 0; j < 6; j++) {
        e[0] = (e[0] + e[1] + e[2] - e[3]) * 0.499975;
        e[1] = (e[0] + e[1] - e[2] + e[3]) * 0.499975;
        e[2] = (e[0] - e[1] + e[2] + e[3]) * 0.499975;
        e[3] = (-e[0] + e[1] + e[2] + e[3]) / 2.0;
    }
}

__attribute__((noinline)) static void on_scalars(double x, double y, double *z)
{
    double x1 = 0.499975 * (x + y), y1 = 0.499975 * (x1 + y);
    *z = (x1 + y1) / 2.0;
}

int main(int argc, char **argv)
{
    int size = bench_size(argc, argv), j = 1, k = 2, l = 3;
    double x = 0.5, y = 0.5, z = 1, sum = 0;
    for (int n = 0; n < size; n++) {
        e1[0] = 1;
        e1[1] = e1[2] = e1[3] = -1;
        for (int i = 0; i < 14; i++) {
            on_array(e1);
        }
        for (int i = 0; i < 345; i++) {
            j = j == 1 ? 2 : 3;
            j = j > 2 ? 0 : 1;
            j = j < 1 ? 1 : 0;
        }
        for (int i = 0; i < 210; i++) {
            j = j * (k - j) * (l - k);
            k = l * k - (l - j) * k;
            l = (l - k) * (k + j);
            e1[(l - 2) & 3] = j + k + l;
            e1[(k - 2) & 3] = j * k * l;
        }
        for (int i = 0; i < 32; i++) {
            x = 0.499975 * atan(2 * sin(x) * cos(x) / (cos(x + y) + cos(x - y) - 1.0));
            y = 0.499975 * atan(2 * sin(y) * cos(y) / (cos(x + y) + cos(x - y) - 1.0));
        }
        for (int i = 0; i < 899; i++) {
            on_scalars(1, x, &z);
        }
        for (int i = 0; i < 93; i++) {
            x = sqrt(exp(log(x + 0.75) / 0.50025));
        }
        sum += z + x + y;
        x = y = 0.5;
        j = 1, k = 2, l = 3;
    }
    return bench_result_float(sum);
}
