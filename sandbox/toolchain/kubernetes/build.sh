#!/bin/sh
# build.sh DIRECTORY: etcd, whose package is called server, and the parts of Kubernetes.
set -eu
version=$(go list -mod=readonly -m -f '{{.Version}}' k8s.io/kubernetes)
numbers=${version#v} minor=${version#v*.}
stamp="-X k8s.io/component-base/version."
go build -v -mod=readonly -buildvcs=false -trimpath -ldflags="-s -w ${stamp}gitVersion=$version \
${stamp}gitMajor=${numbers%%.*} ${stamp}gitMinor=${minor%%.*}" -o "$1/" tool
mv "$1/server" "$1/etcd"
