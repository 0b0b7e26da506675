#!/usr/bin/env bash
# Builds the one image of all components as an OCI archive: images/build.sh [OUT.tar]
#
#   /hybridnet/hybridnet-{manager,webhook,daemon}   the programs that the chart starts
#   /hybridnet/hybridnet                            the CNI plugin, which `hybridnet-daemon install-cni` copies
#   /cni-plugins/{loopback,bandwidth,portmap}       community plugins, which it copies too
#
# Everything is static and the base is nothing (FROM scratch), so Rust, Go, GNU tar and gzip are enough and
# no container tool is needed. Equal inputs give an equal archive. When no program has changed since the
# last call, the archive is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(realpath -m "${1:-target/hybridnet.tar}")
version=$(awk '$1 == "appVersion:" { print $2 }' charts/hybridnet/Chart.yaml)
name=docker.io/hybridnetdev/hybridnet:v$version
limit=$((25 * 1000 * 1000))

case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) echo "images/build.sh: no image for $(uname -m): build on x86_64 or aarch64" >&2 && exit 1 ;;
esac
triple=$(uname -m)-unknown-linux-gnu
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
programs=$target/$triple/release

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

build_programs() {
    # With --target these flags do not reach build scripts and proc macros, which cannot be static.
    local flags=(--release --locked --target "$triple" --target-dir "$target")
    export RUSTFLAGS="-C target-feature=+crt-static"
    cargo build "${flags[@]}" --bin hybridnet-manager --bin hybridnet-webhook --bin hybridnet-daemon \
        -p hybridnet-operator -p hybridnet-webhook -p hybridnet-node
    # On its own: built together, the others' features would make it larger, and it starts once a pod.
    cargo build "${flags[@]}" --bin hybridnet -p hybridnet-cni
}

build_plugins() {
    local into=$work/plugins/cni-plugins
    mkdir -p "$into"
    (cd images/plugins && CGO_ENABLED=0 GOOS=linux GOARCH=$arch GOFLAGS=-mod=readonly \
        go build -trimpath -ldflags '-s -w' -o "$into/" tool)
}

# One layer from a folder, without times and names, so that it depends on nothing but its content.
layer() {
    tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' \
        --directory "$work/$1" . >"$work/$1.tar"
    gzip --no-name "$work/$1.tar" --stdout >"$work/$1.tar.gz"
}

digest() { sha256sum "$1" | cut -d' ' -f1; }

# Puts a file among the blobs and prints its descriptor.
blob() {
    local hash
    hash=$(digest "$1")
    cp "$1" "$work/oci/blobs/sha256/$hash"
    printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%d}' \
        "$2" "$hash" "$(stat -c %s "$1")"
}

write_archive() {
    mkdir -p "$work/oci/blobs/sha256"
    layer plugins
    layer programs
    local config plugins programs manifest
    printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/hybridnet"],"WorkingDir":"/","Labels":{%s}},"rootfs":{"type":"layers","diff_ids":["sha256:%s","sha256:%s"]}}' \
        "$arch" \
        "\"org.opencontainers.image.title\":\"hybridnet\",\"org.opencontainers.image.version\":\"v$version\",\"org.opencontainers.image.licenses\":\"Apache-2.0\"" \
        "$(digest "$work/plugins.tar")" "$(digest "$work/programs.tar")" >"$work/config.json"
    config=$(blob "$work/config.json" config.v1+json)
    # What changes seldom comes first: an upgrade pulls the second layer only.
    plugins=$(blob "$work/plugins.tar.gz" layer.v1.tar+gzip)
    programs=$(blob "$work/programs.tar.gz" layer.v1.tar+gzip)
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s,%s]}' \
        "$config" "$plugins" "$programs" >"$work/manifest.json"
    manifest=$(blob "$work/manifest.json" manifest.v1+json)
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s,"annotations":{"io.containerd.image.name":"%s","org.opencontainers.image.ref.name":"%s"}}]}' \
        "${manifest%\}}" "$name" "$name" >"$work/oci/index.json"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$work/oci/oci-layout"
    tar --create --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode='u=rwX,go=rX' \
        --directory "$work/oci" blobs index.json oci-layout >"$work/archive.tar"
}

build_programs
build_plugins
mkdir -p "$work/programs/hybridnet" "$(dirname "$out")"
install -m 0755 "$programs"/hybridnet{,-manager,-webhook,-daemon} "$work/programs/hybridnet/"

# What the archive is made of: the programs, the name, and this script.
inputs=$({ cd "$work" && find plugins programs -type f -print0 | sort -z | xargs -0 sha256sum; echo "$name"; cat "$OLDPWD/images/build.sh"; } | sha256sum | cut -d' ' -f1)
if [[ -f $out && -f $out.inputs && $(<"$out.inputs") == "$inputs" ]]; then
    echo "images/build.sh: $out is up to date" >&2
    exit
fi
write_archive

size=$(stat -c %s "$work/archive.tar")
unpacked=$(($(stat -c %s "$work/plugins.tar") + $(stat -c %s "$work/programs.tar")))
echo "images/build.sh: $name: $((size / 1000)) kB compressed, $((unpacked / 1000)) kB unpacked" >&2
if ((size > limit)); then
    echo "images/build.sh: larger than $((limit / 1000)) kB: find out what has grown (ls -l $programs)" >&2
    exit 1
fi
# By rename, so that nobody loads half an archive.
rm -f "$out.inputs"
mv "$work/archive.tar" "$out.partial"
mv "$out.partial" "$out"
echo "$inputs" >"$out.inputs"
