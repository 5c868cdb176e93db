/* Called by felix/dataplane/shaping.c. */
#include "lib/netlink/qdisc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <string.h>

#define INGRESS_HANDLE TC_H_MAKE(TC_H_INGRESS, 0)
#define FILTER_PRIORITY 0xca11
#define FILTER_INFO TC_H_MAKE((uint32_t)FILTER_PRIORITY << 16, htons(ETH_P_ALL))

static struct nl_msg *
tc_message(int type, int flags, const struct tcmsg *tcm)
{
    struct nl_msg *msg = nlmsg_alloc_simple(type, flags);

    nlmsg_append(msg, (void *)(uintptr_t)tcm, sizeof *tcm, NLMSG_ALIGNTO);
    return msg;
}

/* ---- reading ------------------------------------------------------------------------------------
 */

static void
read_tbf(struct nlattr *options, struct qdisc *qdisc)
{
    struct nlattr *attrs[TCA_TBF_MAX + 1];

    if (nla_parse_nested(attrs, TCA_TBF_MAX, options, NULL) < 0 || !attrs[TCA_TBF_PARMS] ||
        nla_len(attrs[TCA_TBF_PARMS]) < (int)sizeof(struct tc_tbf_qopt)) {
        return;
    }
    const struct tc_tbf_qopt *parms = nla_data(attrs[TCA_TBF_PARMS]);
    qdisc->rate = attrs[TCA_TBF_RATE64] ? nla_get_u64(attrs[TCA_TBF_RATE64]) : parms->rate.rate;
    qdisc->peak_rate =
        attrs[TCA_TBF_PRATE64] ? nla_get_u64(attrs[TCA_TBF_PRATE64]) : parms->peakrate.rate;
}

static void
on_qdisc(void *owner, const struct nlmsghdr *header)
{
    qdisc_vec *list = owner;
    struct nlattr *attrs[TCA_MAX + 1];
    struct nlmsghdr *hdr = (struct nlmsghdr *)(uintptr_t)header;
    const struct tcmsg *tcm = nlmsg_data(hdr);
    struct qdisc qdisc = {.index = tcm->tcm_ifindex, .handle = tcm->tcm_handle};

    if (header->nlmsg_type != RTM_NEWQDISC ||
        nlmsg_parse(hdr, sizeof *tcm, attrs, TCA_MAX, NULL) < 0 || !attrs[TCA_KIND]) {
        return;
    }
    nla_strlcpy(qdisc.kind, attrs[TCA_KIND], sizeof qdisc.kind);
    if (strcmp(qdisc.kind, "tbf") == 0 && attrs[TCA_OPTIONS]) {
        read_tbf(attrs[TCA_OPTIONS], &qdisc);
    }
    VEC_PUSH(list, qdisc);
}

bool
qdisc_list(struct netlink *netlink, qdisc_vec *ret_qdiscs, struct err *err)
{
    const struct tcmsg tcm = {0};

    ret_qdiscs->n = 0;
    return netlink_dump(netlink, tc_message(RTM_GETQDISC, 0, &tcm), on_qdisc, ret_qdiscs, err) ||
           err_wrap(err, "list qdiscs");
}

/* ---- what an interface sends --------------------------------------------------------------------
 */

static void
put_rate(struct nl_msg *msg, struct tc_ratespec *spec, int attr, uint64_t rate)
{
    spec->rate = rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate;
    spec->linklayer = TC_LINKLAYER_ETHERNET; /* else the kernel asks for a table of times */
    if (rate > UINT32_MAX) {
        nla_put_u64(msg, attr, rate);
    }
}

bool
qdisc_shape(struct netlink *netlink, int index, const struct shape *shape, struct err *err)
{
    const struct tcmsg tcm = {
        .tcm_ifindex = index, .tcm_parent = TC_H_ROOT, .tcm_handle = QDISC_HANDLE};
    struct nl_msg *msg = tc_message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &tcm);
    struct tc_tbf_qopt parms = {.limit = shape->queue};

    nla_put_string(msg, TCA_KIND, "tbf");
    struct nlattr *options = nla_nest_start(msg, TCA_OPTIONS);
    put_rate(msg, &parms.rate, TCA_TBF_RATE64, shape->rate);
    nla_put_u32(msg, TCA_TBF_BURST, shape->burst);
    if (shape->peak_rate > 0) {
        put_rate(msg, &parms.peakrate, TCA_TBF_PRATE64, shape->peak_rate);
        nla_put_u32(msg, TCA_TBF_PBURST, shape->min_burst);
    }
    nla_put(msg, TCA_TBF_PARMS, sizeof parms, &parms);
    nla_nest_end(msg, options);
    return netlink_request(netlink, msg, err) || err_wrap(err, "token bucket on link %d", index);
}

/* The kernel refuses a handle that is not that of what is there. */
static bool
is_absence(const struct err *err)
{
    return err->code == ENOENT || err->code == EINVAL || err->code == ENODEV;
}

bool
qdisc_unshape(struct netlink *netlink, int index, struct err *err)
{
    const struct tcmsg tcm = {
        .tcm_ifindex = index, .tcm_parent = TC_H_ROOT, .tcm_handle = QDISC_HANDLE};

    return netlink_request(netlink, tc_message(RTM_DELQDISC, 0, &tcm), err) || is_absence(err) ||
           err_wrap(err, "delete the token bucket of link %d", index);
}

/* ---- what it receives ---------------------------------------------------------------------------
 */

static bool
add_ingress(struct netlink *netlink, int index, struct err *err)
{
    const struct tcmsg tcm = {
        .tcm_ifindex = index, .tcm_parent = TC_H_INGRESS, .tcm_handle = INGRESS_HANDLE};
    struct nl_msg *msg = tc_message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &tcm);

    nla_put_string(msg, TCA_KIND, "ingress");
    return netlink_request(netlink, msg, err) || err->code == EEXIST ||
           err_wrap(err, "ingress qdisc of link %d", index);
}

/* A match of nothing in particular is one of everything. */
static void
put_everything(struct nl_msg *msg)
{
    const struct tc_u32_sel sel = {.flags = TC_U32_TERMINAL, .nkeys = 1};
    char all[sizeof sel + sizeof(struct tc_u32_key)] = {0}; /* the key: no bits of a mask */

    memcpy(all, &sel, sizeof sel);
    nla_put(msg, TCA_U32_SEL, sizeof all, all);
}

static void
put_redirect(struct nl_msg *msg, int ifb)
{
    const struct tc_mirred mirred = {
        .action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (uint32_t)ifb};
    struct nlattr *actions = nla_nest_start(msg, TCA_U32_ACT);
    struct nlattr *first = nla_nest_start(msg, 1);

    nla_put_string(msg, TCA_ACT_KIND, "mirred");
    struct nlattr *options = nla_nest_start(msg, TCA_ACT_OPTIONS);
    nla_put(msg, TCA_MIRRED_PARMS, sizeof mirred, &mirred);
    nla_nest_end(msg, options);
    nla_nest_end(msg, first);
    nla_nest_end(msg, actions);
}

static bool
delete_filter(struct netlink *netlink, int index, struct err *err)
{
    const struct tcmsg tcm = {
        .tcm_ifindex = index, .tcm_parent = INGRESS_HANDLE, .tcm_info = FILTER_INFO};

    return netlink_request(netlink, tc_message(RTM_DELTFILTER, 0, &tcm), err);
}

bool
qdisc_redirect(struct netlink *netlink, int index, int ifb, struct err *err)
{
    const struct tcmsg tcm = {
        .tcm_ifindex = index, .tcm_parent = INGRESS_HANDLE, .tcm_info = FILTER_INFO};
    struct err absent = ERR_INIT;

    if (!add_ingress(netlink, index, err)) {
        return false;
    }
    (void)!delete_filter(netlink, index, &absent); /* it may lead to another ifb */
    struct nl_msg *msg = tc_message(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, &tcm);
    nla_put_string(msg, TCA_KIND, "u32");
    struct nlattr *options = nla_nest_start(msg, TCA_OPTIONS);
    put_everything(msg);
    put_redirect(msg, ifb);
    nla_nest_end(msg, options);
    return netlink_request(netlink, msg, err) ||
           err_wrap(err, "redirect what link %d receives", index);
}

static void
on_filter(void *owner, const struct nlmsghdr *header)
{
    bool *is = owner;
    const struct tcmsg *tcm = nlmsg_data((struct nlmsghdr *)(uintptr_t)header);

    *is |= header->nlmsg_type == RTM_NEWTFILTER && tcm->tcm_info >> 16 == FILTER_PRIORITY;
}

bool
qdisc_is_redirected(struct netlink *netlink, int index, bool *ret_is, struct err *err)
{
    const struct tcmsg tcm = {.tcm_ifindex = index, .tcm_parent = INGRESS_HANDLE};

    *ret_is = false;
    return netlink_dump(netlink, tc_message(RTM_GETTFILTER, 0, &tcm), on_filter, ret_is, err) ||
           is_absence(err) || err_wrap(err, "filters of link %d", index);
}

bool
qdisc_unredirect(struct netlink *netlink, int index, struct err *err)
{
    const struct tcmsg tcm = {
        .tcm_ifindex = index, .tcm_parent = TC_H_INGRESS, .tcm_handle = INGRESS_HANDLE};

    if (!delete_filter(netlink, index, err)) {
        return is_absence(err) || err_wrap(err, "delete the filter of link %d", index);
    }
    return netlink_request(netlink, tc_message(RTM_DELQDISC, 0, &tcm), err) || is_absence(err) ||
           err_wrap(err, "delete the ingress qdisc of link %d", index);
}

bool
link_add_ifb(struct netlink *netlink, const char *name, const char *alias, struct err *err)
{
    const struct ifinfomsg ifi = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct nl_msg *msg = nlmsg_alloc_simple(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);

    nlmsg_append(msg, (void *)(uintptr_t)&ifi, sizeof ifi, NLMSG_ALIGNTO);
    nla_put_string(msg, IFLA_IFNAME, name);
    nla_put_string(msg, IFLA_IFALIAS, alias);
    struct nlattr *info = nla_nest_start(msg, IFLA_LINKINFO);
    nla_put_string(msg, IFLA_INFO_KIND, "ifb");
    nla_nest_end(msg, info);
    return netlink_request(netlink, msg, err) || err_wrap(err, "create ifb link %s", name);
}
