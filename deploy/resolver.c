/* Linked into the static binary by deploy/build-static.
 *
 * A name that /etc/nsswitch.conf sends to a service other than files and dns (myhostname, resolve, mdns4_minimal) makes glibc
 * load that service's library, also in a static binary, and with it the system's own glibc. Where that is another version than
 * the one linked in, the process crashes: with glibc 2.36 in it and 2.41 beside it, by SIGFPE. So names are resolved by
 * /etc/hosts and the name servers alone. */
#include <nss.h>

__attribute__((constructor)) static void resolve_by_files_and_dns(void)
{
    __nss_configure_lookup("hosts", "files dns");
}
