/* The IPIP device. */
#include "felix/dataplane/tunnel.h"

#include <errno.h>

#include "felix/rules/names.h"

static bool
find_or_make(struct netlink *netlink, struct link *ret_link, struct err *err)
{
    struct err reason = ERR_INIT;

    if (link_get(netlink, TUNNEL_NAME, ret_link, &reason)) {
        return true;
    }
    if (reason.code != ENODEV) {
        return err_code(err, reason.code, "%s", reason.text);
    }
    /* Loading the module makes tunl0 by itself, so EEXIST is a success. */
    if (!link_add_ipip(netlink, TUNNEL_NAME, &reason) && reason.code != EEXIST) {
        return err_code(err, reason.code,
                        "%s; load the kernel module ipip, or set ipipMode Never on all pools",
                        reason.text);
    }
    return link_get(netlink, TUNNEL_NAME, ret_link, err);
}

static bool
is_unwanted(const struct tunnel *tunnel, const struct prefix *address)
{
    struct prefix want = prefix_of_ip(&tunnel->address);

    if (!tunnel->is_wanted) {
        return ip_equal(&address->ip, &tunnel->leftover);
    }
    /* With two, the kernel would choose a source nobody routes back to. */
    return tunnel->address.family != 0 && !prefix_equal(address, &want);
}

static bool
fix_addresses(struct tunnel *tunnel, struct netlink *netlink, int index, bool *changed,
              struct err *err)
{
    struct prefix want = prefix_of_ip(&tunnel->address);
    address_vec addresses = VEC_INIT;
    bool have = false;
    bool good = address_list(netlink, &addresses, err);

    VEC_FOREACH (&addresses, it) {
        if (!good || it->index != index || it->prefix.ip.family != 4) {
            continue;
        }
        if (is_unwanted(tunnel, &it->prefix)) {
            good = address_delete(netlink, index, &it->prefix, err);
            *changed = true;
        } else {
            have |= prefix_equal(&it->prefix, &want);
        }
    }
    VEC_DONE(&addresses);
    if (good && tunnel->is_wanted && !have && tunnel->address.family != 0) {
        good = address_add(netlink, index, &want, err);
        *changed = true;
    }
    return good;
}

static bool
clean(struct tunnel *tunnel, struct netlink *netlink, struct err *err)
{
    struct link link;
    bool changed = false;

    tunnel->is_in_place = false;
    if (tunnel->leftover.family == 0) {
        return true;
    }
    if (link_get(netlink, TUNNEL_NAME, &link, NULL) &&
        !fix_addresses(tunnel, netlink, link.index, &changed, err)) {
        return err_wrap(err, TUNNEL_NAME);
    }
    tunnel->leftover = (struct ip){0};
    return true;
}

bool
tunnel_apply(struct tunnel *tunnel, struct netlink *netlink, struct err *err)
{
    struct link link;
    bool changed = false;

    if (!tunnel->is_wanted) {
        return clean(tunnel, netlink, err);
    }
    bool was_in_place = tunnel->is_in_place;
    tunnel->is_in_place = false;
    if (!find_or_make(netlink, &link, err)) {
        return err_wrap(err, TUNNEL_NAME);
    }
    bool wrong_mtu = tunnel->mtu > 0 && link.mtu != tunnel->mtu;
    if (!link.is_up || wrong_mtu) {
        if (!link_set(netlink, link.index, true, wrong_mtu ? tunnel->mtu : 0, err)) {
            return err_wrap(err, TUNNEL_NAME);
        }
        changed = true;
    }
    if (!fix_addresses(tunnel, netlink, link.index, &changed, err)) {
        return err_wrap(err, TUNNEL_NAME);
    }
    /* A new MTU or address of ours is no drift, and comes seldom enough to be counted as such. */
    tunnel->n_repaired += changed && was_in_place;
    tunnel->is_in_place = true;
    tunnel->leftover = tunnel->address;
    return true;
}
