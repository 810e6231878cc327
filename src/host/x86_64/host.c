/* The x86-64 host: see x86_64.h for the conventions of its code. */
#include "host/x86_64/x86_64.h"

const Host host_x86_64 = {
    .name = "x86_64",
    .x87 = true,
    .usable = x86_usable,
    .begin_cache = x86_begin_cache,
    .compile = x86_compile,
    .enter = x86_enter,
    .link = x86_link,
    .cpu_init = x86_cpu_init,
    .cpu_free = x86_cpu_free,
    .reset_returns = x86_reset_returns,
    .switch_returns = x86_switch_returns,
    .trim_returns = x86_trim_returns,
    .calling_code = x86_calling_code,
    .take_x87 = x86_take_x87,
    .give_x87 = x86_x87_load,
    .set_fp = x86_set_fp,
    .recover = x86_recover,
    .abandon = x86_abandon,
    .access_site = x86_access_site,
    .stub_fault = x86_stub_fault,
};
