/* "virtio-net-pci", "virtio-net-device": a network card (virtio 1.2, 5.1) with merged receive
 * buffers, a control queue with filters, and one pair of queues. It leaves checksums and
 * segmentation to the guest.
 *
 * Frames go between the guest's buffers and the network port without a copy of ours. One that the
 * port does not take stays in the queue until drained(); one that there is no buffer for stays in
 * the port until the driver adds some. */
#include <string.h>

#include "backend/net/net.h"
#include "base/bytes.h"
#include "device/devices.h"
#include "device/virtio/virtio.h"

enum {
    QUEUE_RECEIVE,
    QUEUE_SEND,
    QUEUE_CONTROL,
    QUEUES,
    HEADER = 12,         /* struct virtio_net_hdr (5.1.6) */
    HEADER_BUFFERS = 10, /* the last of its fields, which legacy drivers may not know */
    CONFIG_MAC = 0,
    CONFIG_STATUS = 6,
    CONFIG_SIZE = 8,
    STATUS_LINK_UP = 1,
    FILTERS = 64, /* addresses */
    VLANS = 4096,
};

#define F_MAC ((u64)1 << 5)
#define F_MRG_RXBUF ((u64)1 << 15)
#define F_STATUS ((u64)1 << 16)
#define F_CTRL_VQ ((u64)1 << 17)
#define F_CTRL_RX ((u64)1 << 18)
#define F_CTRL_VLAN ((u64)1 << 19)
#define F_CTRL_RX_EXTRA ((u64)1 << 20)
#define F_CTRL_MAC_ADDR ((u64)1 << 23)

/* Classes and commands of the control queue (5.1.6.5), and its answers. */
enum { CLASS_RX, CLASS_MAC, CLASS_VLAN };
enum { MAC_TABLE_SET, MAC_ADDR_SET };
enum { VLAN_ADD, VLAN_DELETE };
enum { ANSWER_OK, ANSWER_ERROR };

/* What CLASS_RX switches, in the order of its commands. */
enum {
    RX_PROMISCUOUS,
    RX_ALL_MULTICAST,
    RX_ALL_UNICAST,
    RX_NO_MULTICAST,
    RX_NO_UNICAST,
    RX_NO_BROADCAST,
    RX_SWITCHES
};

/* Addresses that are received beside the card's own. */
typedef struct Filter {
    u8 count; /* of `addresses` */
    u8 all;   /* there were more than it holds */
    u8 addresses[FILTERS][NET_ADDRESS];
} Filter;

typedef struct Net {
    Virtio virtio;
    NetPort *netdev;
    u8 initial_mac[NET_ADDRESS];
    VirtioChain first, chain;
    VirtioUsed filled[VIRTIO_QUEUE_SIZE]; /* for one frame */
    /* Saved. */
    u8 mac[NET_ADDRESS];
    u8 rx[RX_SWITCHES];
    Filter unicast, multicast;
    u8 vlans[VLANS / 8];
} Net;

/* -- Filters (5.1.6.5.1 to 5.1.6.5.3) */

static bool filter_has(const Filter *filter, const u8 *address)
{
    for (u32 i = 0; i < filter->count; i++) {
        if (!memcmp(filter->addresses[i], address, NET_ADDRESS)) {
            return true;
        }
    }
    return filter->all;
}

static bool wants_address(const Net *net, const u8 *address)
{
    static const u8 broadcast[NET_ADDRESS] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    if (!memcmp(address, broadcast, NET_ADDRESS)) {
        return !net->rx[RX_NO_BROADCAST];
    }
    if (address[0] & 1) {
        return !net->rx[RX_NO_MULTICAST] &&
               (net->rx[RX_ALL_MULTICAST] || filter_has(&net->multicast, address));
    }
    return !net->rx[RX_NO_UNICAST] &&
           (net->rx[RX_ALL_UNICAST] || !memcmp(address, net->mac, NET_ADDRESS) ||
            filter_has(&net->unicast, address));
}

/* A frame of a virtual LAN (802.1Q) is wanted if its number is. */
static bool wants_vlan(const Net *net, const u8 *frame, size_t size)
{
    enum { TYPE_AT = 12, TAG_AT = 14, TYPE_VLAN = 0x8100 };

    if (!virtio_has(&net->virtio, F_CTRL_VLAN) || size < TAG_AT + 2 ||
        get_be(frame + TYPE_AT, 2) != TYPE_VLAN) {
        return true;
    }
    u32 number = (u32)get_be(frame + TAG_AT, 2) % VLANS;
    return net->vlans[number / 8] >> number % 8 & 1;
}

static bool wants(const Net *net, const struct iovec *iov, u32 count)
{
    u8 start[16] = {0};
    size_t size = 0;

    for (u32 i = 0; i < count && size < sizeof start; i++) {
        size_t part = MIN(iov[i].iov_len, sizeof start - size);
        memcpy(start + size, iov[i].iov_base, part);
        size += part;
    }
    return net->rx[RX_PROMISCUOUS] || (wants_vlan(net, start, size) && wants_address(net, start));
}

/* -- Receiving */

/* A frame on its way into the guest's buffers. */
typedef struct Arrival {
    const struct iovec *iov; /* the rest of the pieces */
    size_t at;               /* in the first of them */
    size_t left;             /* bytes */
} Arrival;

static u32 header_size(const Net *net)
{
    return virtio_has(&net->virtio, VIRTIO_F_VERSION_1 | F_MRG_RXBUF) ? HEADER : HEADER_BUFFERS;
}

/* Fills a chain from `offset` on; returns how much. */
static u64 fill_chain(const VirtioChain *chain, u64 offset, Arrival *a)
{
    u64 start = offset;

    while (a->left && offset < chain->in_size) {
        u64 part = MIN(a->iov->iov_len - a->at, chain->in_size - offset);
        virtio_copy_in(chain, offset, (const u8 *)a->iov->iov_base + a->at, part);
        offset += part;
        a->at += part;
        a->left -= part;
        if (a->at == a->iov->iov_len && a->left) {
            a->iov++;
            a->at = 0;
        }
    }
    return offset - start;
}

/* Puts the frame into as many chains as it needs. False: they are too few, and all are left. */
static bool fill_buffers(Net *net, VirtQueue *queue, Arrival *a)
{
    bool merge = virtio_has(&net->virtio, F_MRG_RXBUF);
    u8 header[HEADER] = {0};
    u32 places = 0;
    u16 taken = 0;

    do {
        VirtioChain *chain = taken ? &net->chain : &net->first;
        u64 before = taken ? 0 : header_size(net);
        if ((taken && !merge) || taken == COUNT(net->filled) || !virtqueue_take(queue, chain)) {
            virtqueue_untake(queue, places);
            return false;
        }
        if (chain->in_size < before) {
            virtio_break(&net->virtio, "a buffer to receive with no room for the header");
            return false;
        }
        u64 size = before + fill_chain(chain, before, a);
        net->filled[taken++] = virtqueue_written(queue, chain, (u32)size);
        places += chain->places;
    } while (a->left);
    put_le(header + HEADER_BUFFERS, taken, 2);
    virtio_copy_in(&net->first, 0, header, header_size(net));
    net->filled[0] = virtqueue_written(queue, &net->first, net->filled[0].written);
    virtqueue_publish(queue, net->filled, taken);
    virtqueue_signal(queue);
    return true;
}

static size_t size_of(const struct iovec *iov, u32 count)
{
    size_t size = 0;

    for (u32 i = 0; i < count; i++) {
        size += iov[i].iov_len;
    }
    return size;
}

/* A driver that takes no merged buffers has to give large ones: frames that do not fit are lost. */
static bool receive(void *opaque, const struct iovec *iov, u32 count)
{
    Net *net = opaque;
    VirtQueue *queue = &net->virtio.queues[QUEUE_RECEIVE];
    Arrival arrival = {.iov = iov, .left = size_of(iov, count)};

    if (!virtio_is_running(&net->virtio) || !queue->enabled || !arrival.left ||
        !wants(net, iov, count)) {
        return true;
    }
    while (!arrival.iov->iov_len) {
        arrival.iov++;
    }
    if (fill_buffers(net, queue, &arrival) || !virtio_is_running(&net->virtio)) {
        return true;
    }
    if (arrival.left < size_of(iov, count) && !virtio_has(&net->virtio, F_MRG_RXBUF)) {
        device_guest_error(net, "a buffer to receive is too small");
        return true;
    }
    return false;
}

/* -- Sending */

static void send_frames(Net *net)
{
    VirtQueue *queue = &net->virtio.queues[QUEUE_SEND];

    while (virtqueue_take(queue, &net->chain)) {
        VirtioChain *chain = &net->chain;
        if (!virtio_trim(chain, header_size(net), 0)) {
            virtio_break(&net->virtio, "a frame to send without a header");
            return;
        }
        bool fits = chain->out_size && chain->out_size <= NET_FRAME_MAX;
        if (fits && !net_send(net->netdev, chain->iov, chain->out_count)) {
            virtqueue_untake(queue, chain->places);
            break;
        }
        virtqueue_return(queue, chain, 0);
    }
    virtqueue_signal(queue);
}

static void drained(void *opaque)
{
    Net *net = opaque;

    if (virtio_is_running(&net->virtio)) {
        send_frames(net);
    }
}

static void link_changed(void *opaque, bool up)
{
    (void)up;
    virtio_config_changed(opaque);
}

static const NetUser user = {receive, drained, link_changed};

/* -- The control queue (5.1.6.5) */

static bool set_switch(Net *net, u8 command, u64 at)
{
    u8 on;

    if (command >= RX_SWITCHES || virtio_copy_out(&net->chain, at, &on, 1) != 1) {
        return false;
    }
    net->rx[command] = on != 0;
    return true;
}

/* A count and that many addresses; *at moves behind them. */
static bool read_filter(const VirtioChain *chain, u64 *at, Filter *filter)
{
    u8 bytes[4];

    if (virtio_copy_out(chain, *at, bytes, 4) != 4) {
        return false;
    }
    u64 count = get_le(bytes, 4), size = count * NET_ADDRESS;
    *at += 4;
    if (*at > chain->out_size || size > chain->out_size - *at) {
        return false;
    }
    *filter = (Filter){.all = count > FILTERS};
    if (!filter->all) {
        filter->count = (u8)count;
        virtio_copy_out(chain, *at, filter->addresses, size);
    }
    *at += size;
    return true;
}

static bool set_address(Net *net, u8 command, u64 at)
{
    Filter unicast, multicast;

    if (command == MAC_ADDR_SET) {
        u8 mac[NET_ADDRESS];
        if (virtio_copy_out(&net->chain, at, mac, sizeof mac) != sizeof mac) {
            return false;
        }
        memcpy(net->mac, mac, sizeof mac);
        return true;
    }
    if (command != MAC_TABLE_SET || !read_filter(&net->chain, &at, &unicast) ||
        !read_filter(&net->chain, &at, &multicast)) {
        return false;
    }
    net->unicast = unicast;
    net->multicast = multicast;
    return true;
}

static bool set_vlan(Net *net, u8 command, u64 at)
{
    u8 bytes[2];

    if (command > VLAN_DELETE || virtio_copy_out(&net->chain, at, bytes, 2) != 2) {
        return false;
    }
    u32 number = (u32)get_le(bytes, 2);
    if (number >= VLANS) {
        return false;
    }
    u8 bit = (u8)(1 << number % 8), *place = &net->vlans[number / 8];
    *place = (u8)(command == VLAN_ADD ? *place | bit : *place & ~bit);
    return true;
}

static bool run_command(Net *net)
{
    static bool (*const classes[])(Net * net, u8 command, u64 at) = {
        [CLASS_RX] = set_switch, [CLASS_MAC] = set_address, [CLASS_VLAN] = set_vlan};
    u8 head[2]; /* class, command */

    return virtio_copy_out(&net->chain, 0, head, sizeof head) == sizeof head &&
           head[0] < COUNT(classes) && classes[head[0]](net, head[1], sizeof head);
}

static void control(Net *net)
{
    VirtQueue *queue = &net->virtio.queues[QUEUE_CONTROL];

    while (virtqueue_take(queue, &net->chain)) {
        if (!net->chain.in_size) {
            virtio_break(&net->virtio, "a command with no room for the answer");
            return;
        }
        u8 answer = run_command(net) ? ANSWER_OK : ANSWER_ERROR;
        virtio_copy_in(&net->chain, 0, &answer, 1);
        virtqueue_return(queue, &net->chain, 1);
    }
    virtqueue_signal(queue);
}

/* -- The device */

static void notify(void *device, VirtQueue *queue)
{
    Net *net = device;

    switch (queue->index) {
    case QUEUE_RECEIVE:
        net_accept(net->netdev);
        break;
    case QUEUE_SEND:
        send_frames(net);
        break;
    default:
        control(net);
    }
}

static void config_reading(void *device)
{
    Net *net = device;

    memcpy(net->virtio.config + CONFIG_MAC, net->mac, NET_ADDRESS);
    put_le(net->virtio.config + CONFIG_STATUS, net_link_is_up(net->netdev) ? STATUS_LINK_UP : 0, 2);
}

/* Legacy drivers set the address here (5.1.4.1). */
static void config_written(void *device, u32 at, u32 size)
{
    Net *net = device;

    (void)at, (void)size;
    if (net->virtio.legacy) {
        memcpy(net->mac, net->virtio.config + CONFIG_MAC, NET_ADDRESS);
    }
}

/* A driver that does not set filters is to receive everything. */
static void reset_filters(void *device)
{
    Net *net = device;

    memcpy(net->mac, net->initial_mac, NET_ADDRESS);
    memset(net->rx, 0, sizeof net->rx);
    net->rx[RX_PROMISCUOUS] = 1;
    net->unicast = net->multicast = (Filter){0};
    memset(net->vlans, 0, sizeof net->vlans);
}

static void settle(void *device)
{
    Net *net = device;

    net->unicast.count = MIN(net->unicast.count, (u8)FILTERS);
    net->multicast.count = MIN(net->multicast.count, (u8)FILTERS);
}

static const VirtioInfo info = {
    .type = VIRTIO_NET,
    .class_code = 0x020000,
    .queues = QUEUES,
    .features = F_MAC | F_MRG_RXBUF | F_STATUS | F_CTRL_VQ | F_CTRL_RX | F_CTRL_VLAN |
                F_CTRL_RX_EXTRA | F_CTRL_MAC_ADDR,
    .config_size = CONFIG_SIZE,
    .notify = notify,
    .config_reading = config_reading,
    .config_written = config_written,
    .reset = reset_filters,
    .settle = settle,
};

static int start(void *device, char **error)
{
    Net *net = device;

    if (net->initial_mac[0] & 1) {
        device_error(error, "%s: mac= must not be a multicast address", net->virtio.d.def->name);
        return -1;
    }
    if (net->netdev) {
        net_attach(net->netdev, &user, net);
    }
    return virtio_start(device, error);
}

static void stop(void *device)
{
    Net *net = device;

    if (net->netdev) {
        net_attach(net->netdev, NULL, NULL);
    }
}

/* -- Descriptions */

static const StateField filter_state[] = {
    STATE(Filter, count),
    STATE(Filter, all),
    {"addresses", offsetof(Filter, addresses), 1, FILTERS *NET_ADDRESS, NULL, STATE_VALUE},
    STATE_END,
};

static const StateField own_state[] = {
    STATE_ARRAY(Net, mac),
    STATE_ARRAY(Net, rx),
    {"unicast", offsetof(Net, unicast), sizeof(Filter), 1, filter_state, STATE_VALUE},
    {"multicast", offsetof(Net, multicast), sizeof(Filter), 1, filter_state, STATE_VALUE},
    STATE_ARRAY(Net, vlans),
    STATE_END,
};

static const Property properties[] = {
    {"netdev", PROPERTY_BACKEND, offsetof(Net, netdev), "the network", NULL, "net"},
    {"mac", PROPERTY_MAC, offsetof(Net, initial_mac), "the card's address", "52:54:00:12:34:56",
     NULL},
    PROPERTY_END,
};

VIRTIO_DEVICE(device_virtio_net, "virtio-net", "virtio network card", &info, .size = sizeof(Net),
              .state = own_state, .properties = properties, .start = start, .stop = stop);
