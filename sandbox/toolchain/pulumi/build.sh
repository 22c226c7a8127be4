#!/bin/sh
# build.sh DIRECTORY: the CLI, and the Python language host beside it: the CLI warns of one that lies elsewhere.
set -eu
sdk=github.com/pulumi/pulumi/sdk/v3
version=$(go list -mod=readonly -m -f '{{.Version}}' $sdk)
go build -v -mod=readonly -buildvcs=false -trimpath -tags=osusergo,grpcnotrace \
  -ldflags="-s -w -X $sdk/go/common/version.Version=$version" -o "$1/" tool ./language-host
mv "$1/language-host" "$1/pulumi-language-python"
# The host looks for this shim beside itself; it comes in the SDK's module, where files cannot be run.
module=$(go list -mod=readonly -m -f '{{.Dir}}' $sdk)
install -m 755 "$module/python/cmd/pulumi-language-python-exec" "$1"
