#!/bin/sh
# build.sh DIRECTORY: the Kubernetes provider. Its program embeds two files that its repository makes from others before a
# build, and the module comes without: they are made here, in a copy, which is also taught what later releases do: to warn
# of a cluster that cannot be reached, and not to take over an object that exists already.
set -eu
provider=github.com/pulumi/pulumi-kubernetes/provider/v4
go mod download $provider # or it has no directory yet
module=$(go list -mod=readonly -m -f '{{.Dir}}' $provider)
version=$(go list -mod=readonly -m -f '{{.Version}}' $provider)
announced=4.34.2 # what the SDK asks for in requirements.txt; the engine warns of less
patch=$PWD/later-releases.patch
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cp go.mod go.sum "$copy"
cp -r "$module" "$copy/provider"
chmod -R u+w "$copy"
cd "$copy/provider"
GIT_CEILING_DIRECTORIES=$copy git apply "$patch"
for each in schema terraform-mapping; do
  mv "cmd/pulumi-resource-kubernetes/$each.json" "cmd/pulumi-resource-kubernetes/$each-embed.json"
done
cd ..
go mod edit -replace=$provider=./provider
go build -v -mod=readonly -buildvcs=false -trimpath -tags=osusergo,grpcnotrace \
  -ldflags="-s -w -X $provider/pkg/version.Version=$announced+$version" -o "$1/" tool
