/* The command line of menura nbd and qemu-nbd. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/nbd/nbd.h"
#include "cmd/version.h"

enum {
    OPTION_CACHE = 256,
    OPTION_AIO,
    OPTION_DISCARD,
    OPTION_DETECT_ZEROES,
    OPTION_FORK,
    OPTION_HANDSHAKE,
    OPTION_IMAGE_OPTS,
    OPTION_OBJECT,
    OPTION_PID_FILE,
    OPTION_REFUSED,
    OPTION_TLS,
    OPTION_TLS_CREDS,
    OPTION_TLS_HOSTNAME,
};

static const char short_options[] = "hVp:b:k:e:tvx:D:o:AB:LT:c:df:rsl:n";

static const struct option long_options[] = {
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {"port", required_argument, NULL, 'p'},
    {"bind", required_argument, NULL, 'b'},
    {"socket", required_argument, NULL, 'k'},
    {"shared", required_argument, NULL, 'e'},
    {"persistent", no_argument, NULL, 't'},
    {"verbose", no_argument, NULL, 'v'},
    {"export-name", required_argument, NULL, 'x'},
    {"description", required_argument, NULL, 'D'},
    {"handshake-limit", required_argument, NULL, OPTION_HANDSHAKE},
    {"offset", required_argument, NULL, 'o'},
    {"allocation-depth", no_argument, NULL, 'A'},
    {"bitmap", required_argument, NULL, 'B'},
    {"list", no_argument, NULL, 'L'},
    {"object", required_argument, NULL, OPTION_OBJECT},
    {"tls", required_argument, NULL, OPTION_TLS},
    {"tls-creds", required_argument, NULL, OPTION_TLS_CREDS},
    {"tls-hostname", required_argument, NULL, OPTION_TLS_HOSTNAME},
    {"tls-authz", required_argument, NULL, OPTION_REFUSED},
    {"selinux-label", required_argument, NULL, OPTION_REFUSED},
    {"trace", required_argument, NULL, 'T'},
    {"fork", no_argument, NULL, OPTION_FORK},
    {"pid-file", required_argument, NULL, OPTION_PID_FILE},
    {"connect", required_argument, NULL, 'c'},
    {"disconnect", no_argument, NULL, 'd'},
    {"format", required_argument, NULL, 'f'},
    {"read-only", no_argument, NULL, 'r'},
    {"snapshot", no_argument, NULL, 's'},
    {"load-snapshot", required_argument, NULL, 'l'},
    {"nocache", no_argument, NULL, 'n'},
    {"cache", required_argument, NULL, OPTION_CACHE},
    {"aio", required_argument, NULL, OPTION_AIO},
    {"discard", required_argument, NULL, OPTION_DISCARD},
    {"detect-zeroes", required_argument, NULL, OPTION_DETECT_ZEROES},
    {"image-opts", no_argument, NULL, OPTION_IMAGE_OPTS},
    {0},
};

static void help(const NbdJob *job, bool as_qemu)
{
    printf("Usage: %s [OPTION]... DISK     serve a disk image to NBD clients\n"
           "       %s --list [OPTION]...   show what a server offers\n\n"
           "  -k, --socket=PATH        at a unix socket\n"
           "  -b, --bind=ADDRESS       at an address of this machine (%s)\n"
           "  -p, --port=PORT          and port (10809)\n"
           "  -x, --export-name=NAME   what clients ask for (nothing); -D TEXT describes it\n"
           "  -e, --shared=N           at most N clients at a time (%s)\n"
           "  -f, --format=FORMAT      of the image; --image-opts: DISK is a list of options\n"
           "  -r, --read-only          -s, --snapshot: throw changes away in the end\n"
           "  -l, --load-snapshot=ID   an internal snapshot, read-only\n"
           "  -o, --offset=BYTES       leave out the start of the disk\n"
           "  -A, --allocation-depth   -B, --bitmap=NAME: let clients ask for these, too\n"
           "      --cache=MODE         --discard=MODE, --detect-zeroes=MODE, --aio=MODE\n"
           "      --tls=DIR            serve under TLS only: DIR has server-cert.pem,\n"
           "                           server-key.pem, ca-cert.pem; or keys.psk\n"
           "      --object=KIND,id=ID  secrets and credentials; --tls-creds=ID uses them\n"
           "  -t, --persistent         go on when the last client has left%s\n"
           "      --handshake-limit=N  seconds that a handshake may take (10)\n"
           "      --fork               go to the background when ready; --pid-file=PATH\n\n"
           "Examples:\n"
           "  %s disk.qcow2                          nbd://localhost\n"
           "  %s -k /run/disk.sock -r -f raw disk    nbd+unix:///?socket=/run/disk.sock\n"
           "  %s --tls /etc/nbd -b 0.0.0.0 -x disk disk.qcow2\n",
           job->program, job->program, job->address.host, as_qemu ? "1" : "100; 0 for any number",
           as_qemu ? "" : " (always)", job->program, job->program, job->program);
}

static bool bad(const NbdJob *job, int *status, const char *what, const char *value)
{
    *status = nbd_error(job, "%s '%s'", what, value);
    return false;
}

static bool take_number(const NbdJob *job, const char *what, unsigned low, unsigned high,
                        unsigned *number, int *status)
{
    char *end;

    errno = 0;
    unsigned long value = strtoul(optarg, &end, 10);
    if (errno || end == optarg || *end || value < low || value > high) {
        return bad(job, status, what, optarg);
    }
    *number = (unsigned)value;
    return true;
}

/* Adds an object; the argument may hold a secret, and goes. */
static bool take_object(NbdJob *job, int *status)
{
    BlockError error;
    int result = object_list_add(job->objects, optarg, &error);

    explicit_bzero(optarg, strlen(optarg));
    if (result < 0) {
        *status = nbd_error(job, "%s", error.text);
    }
    return result >= 0;
}

/* --tls DIR: credentials of what the directory has. */
static bool take_tls(NbdJob *job, int *status)
{
    BlockOptions *options = block_options_new();
    char keys[4096];
    BlockError error;

    snprintf(keys, sizeof keys, "%s/keys.psk", optarg);
    block_options_set(options, "qom-type",
                      access(keys, F_OK) == 0 ? "tls-creds-psk" : "tls-creds-x509");
    block_options_set(options, "id", "--tls");
    block_options_set(options, "endpoint", "server");
    block_options_set(options, "dir", optarg);
    block_options_set(options, "verify-peer", "off");
    int result = object_list_add_options(job->objects, options, &error);
    block_options_free(options);
    job->tls_id = "--tls";
    if (result < 0) {
        *status = nbd_error(job, "%s", error.text);
    }
    return result >= 0;
}

/* Where to listen, what to export, how long. */
static bool take_server_option(NbdJob *job, int option, int *status)
{
    switch (option) {
    case 'p':
        job->address.port = optarg;
        job->has_address = true;
        return true;
    case 'b':
        job->address.host = optarg;
        job->has_address = true;
        return true;
    case 'k':
        job->address.path = optarg;
        job->has_address = true;
        return true;
    case 'e':
        return take_number(job, "Invalid number of clients", 0, 65535, &job->most_clients, status);
    case 't':
        job->persistent = true;
        return true;
    case 'x':
        job->export = optarg;
        return true;
    case 'D':
        job->description = optarg;
        return true;
    case 'A':
        job->show_depth = true;
        return true;
    case 'B':
        if (job->bitmap_count == NBD_MOST_BITMAPS) {
            return bad(job, status, "Too many bitmaps: no room for", optarg);
        }
        job->bitmaps[job->bitmap_count++] = optarg;
        return true;
    case OPTION_HANDSHAKE:
        return take_number(job, "Invalid handshake limit", 0, 86400, &job->handshake_seconds,
                           status);
    case OPTION_FORK:
        job->background = true;
        return true;
    case OPTION_PID_FILE:
        job->pid_file = optarg;
        return true;
    case OPTION_OBJECT:
        return take_object(job, status);
    case OPTION_TLS:
        return take_tls(job, status);
    case OPTION_TLS_CREDS:
        job->tls_id = optarg;
        return true;
    case OPTION_TLS_HOSTNAME:
        job->tls_hostname = optarg;
        return true;
    default:
        return false;
    }
}

/* What to open, and how. */
static bool take_disk_option(NbdJob *job, int option, int *status)
{
    switch (option) {
    case 'o':
        return block_parse_size(optarg, &job->offset) == 0 ||
               bad(job, status, "Invalid offset", optarg);
    case 'f':
        job->format = optarg;
        return true;
    case 'r':
        job->flags &= ~(unsigned)BLOCK_WRITE;
        return true;
    case 's':
        job->flags |= BLOCK_SNAPSHOT;
        return true;
    case 'l':
        job->load_snapshot = optarg;
        job->flags &= ~(unsigned)BLOCK_WRITE;
        return true;
    case 'n':
        return block_cache_mode("none", &job->flags);
    case OPTION_CACHE:
        return block_cache_mode(optarg, &job->flags) ||
               bad(job, status, "Invalid cache mode", optarg);
    case OPTION_AIO:
        return !strcmp(optarg, "threads") || !strcmp(optarg, "native") ||
               !strcmp(optarg, "io_uring") || bad(job, status, "invalid aio mode", optarg);
    case OPTION_DISCARD:
        job->discard = optarg;
        return true;
    case OPTION_DETECT_ZEROES:
        job->detect_zeroes = optarg;
        return true;
    case OPTION_IMAGE_OPTS:
        job->image_options = true;
        return true;
    default:
        return false;
    }
}

/* Options that ask for something that is not there, or nothing at all. */
static bool take_other_option(NbdJob *job, int option, int index, bool as_qemu, int *status)
{
    switch (option) {
    case 'L':
        job->list = true;
        return true;
    case 'v':
    case 'T':
        return true; /* there is nothing more to say */
    case 'h':
        help(job, as_qemu);
        return false;
    case 'V':
        printf("%s " MENURA_VERSION "\n", job->program);
        return false;
    case 'c':
    case 'd':
        *status = nbd_error(job,
                            "the kernel's NBD devices are attached with nbd-client: nbd-client "
                            "-unix SOCKET %s, nbd-client -d DEVICE",
                            option == 'c' ? optarg : "DEVICE");
        return false;
    case OPTION_REFUSED:
        *status = nbd_error(job, "--%s is not available", long_options[index].name);
        return false;
    default:
        *status = 1; /* getopt_long() has said what is wrong */
        return false;
    }
}

bool nbd_parse(NbdJob *job, int argc, char **argv, bool as_qemu, int *status)
{
    int option, index = 0;

    while ((option = getopt_long(argc, argv, short_options, long_options, &index)) != -1) {
        *status = 0;
        if (take_server_option(job, option, status) ||
            (!*status && take_disk_option(job, option, status))) {
            continue;
        }
        if (*status || !take_other_option(job, option, index, as_qemu, status)) {
            return false;
        }
    }
    if (job->list ? optind != argc : optind + 1 != argc) {
        *status = nbd_error(job, job->list ? "--list takes no disk (try --help)"
                                           : "which disk? One is to be named (try --help)");
        return false;
    }
    job->disk = argv[optind];
    return true;
}
