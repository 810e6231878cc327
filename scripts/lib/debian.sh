# Sourced by the fetch-* scripts: Debian packages of any suite and architecture, unpacked into a
# directory of the cache. Nothing here touches the system's own packages or package lists: apt is
# pointed at a state directory in the cache. Only the mirror (and any proxy) is the system's.
#
# Results appear by rename under a lock, with a stamp inside, so that an interrupted run leaves
# nothing behind that looks finished, and two runs at once do the work once.

menura_cache=${MENURA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/menura}
script=$(basename "$0")

say() { echo "$script: $*" >&2; }
die() { say "$@"; exit 1; }

# The address of the Debian mirror that this machine's apt uses.
debian_mirror()
{
    if [[ -n ${MENURA_MIRROR:-} ]]; then
        echo "$MENURA_MIRROR"
        return
    fi
    local found
    found=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        grep -E '/debian/?$' | head -n 1) || true
    [[ -n $found ]] || die "apt here has no Debian mirror; give one: MENURA_MIRROR=http://.../debian"
    echo "$found"
}

# apt_for SUITE ARCHITECTURE[,ARCHITECTURE...] [COMPONENT]: sets the array `apt` to an apt-get for these,
# with fresh lists, that believes no package to be installed. The first architecture is that of bare
# package names; the component is main unless given.
apt_for()
{
    local suite=$1 architecture=$2 component=${3:-main} mirror state
    mirror=$(debian_mirror)
    state=$menura_cache/apt/$suite-$architecture
    [[ $component == main ]] || state+=-${component//\//-}
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    : >"$state/status"
    local signed='signed-by=/usr/share/keyrings/debian-archive-keyring.gpg'
    printf '%s\n' "deb [arch=$architecture $signed] $mirror $suite $component" \
        "deb-src [$signed] $mirror $suite main" >"$state/sources.list"
    cat >"$state/apt.conf" <<END
Dir::Etc::sourcelist "$state/sources.list";
Dir::Etc::sourceparts "-";
Dir::State "$state";
Dir::State::lists "$state/lists";
Dir::State::status "$state/status";
Dir::Cache "$state";
APT::Architecture "${architecture%%,*}";
APT::Architectures { "${architecture//,/\"; \"}"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
APT::Update::Post-Invoke-Success "";
Acquire::Languages "none";
Acquire::Retries "2";
Debug::NoLocking "true";
END
    apt=(apt-get -c "$state/apt.conf")
    if [[ -z $(find "$state/lists" -maxdepth 1 -name '*Packages*' -mmin -1440 -print -quit) ]]; then
        say "reading the package lists of $suite for $architecture"
        "${apt[@]}" -qq update >&2 || die "cannot reach the Debian mirror $mirror"
        touch "$state"/lists/*Packages*
    fi
}

# unpack_package FILE DIRECTORY: keeps links to directories (/bin -> usr/bin) that are there already.
unpack_package()
{
    dpkg-deb --fsys-tarfile "$1" | tar -x -f - -C "$2" --keep-directory-symlink --no-same-owner
}

# provide NAME STAMP FUNCTION: unless $menura_cache/NAME carries STAMP, runs FUNCTION with a new
# directory as its argument and puts that directory in its place.
provide()
{
    local place=$menura_cache/$1 stamp=$2 function=$3 fresh
    is_current() { [[ $(cat "$place/.stamp" 2>/dev/null) == "$stamp" ]]; }
    is_current && return
    mkdir -p "$(dirname "$place")"
    exec {lock}>"$place.lock"
    flock "$lock"
    if ! is_current; then
        fresh=$place.new
        remove_tree "$fresh"
        mkdir -p "$fresh"
        "$function" "$fresh"
        echo "$stamp" >"$fresh/.stamp"
        remove_tree "$place"
        mv "$fresh" "$place"
    fi
    exec {lock}>&-
}

# rm -rf that also removes directories unpacked without write permission.
remove_tree()
{
    [[ -e $1 ]] || return 0
    rm -rf "$1" 2>/dev/null || { chmod -R u+rwX "$1" && rm -rf "$1"; }
}

# The stamp of these words and of the text of the calling script.
stamp_of()
{
    { echo "$*"; cat "$0"; } | sha256sum | cut -c 1-16
}
