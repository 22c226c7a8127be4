// A Pulumi language host for Python: what the engine starts as `pulumi-language-python` to run a program or a policy
// pack. The official host is not published as a Go module; this one stands on the same SDK and covers what this
// repository uses. Plugins to install are never asked for, and providers written in Python start by themselves.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/common/version"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"github.com/pulumi/pulumi/sdk/v3/python/toolchain"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// The exec shim exits with this code when it has already told the user what went wrong.
const exitedAfterShowingError = 32

type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer
	engine string
	shim   string
}

func main() {
	// The engine's Ctrl-C reaches the whole process group; the engine itself decides what to say about it.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, stop); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-language-python:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, stop context.CancelFunc) error {
	if len(os.Args) < 2 {
		return errors.New("the engine's address is missing: this program is started by the Pulumi engine")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server := &host{engine: os.Args[len(os.Args)-1], shim: filepath.Join(filepath.Dir(self), "pulumi-language-python-exec")}
	// An engine that was killed says nothing: this process, and the program with it, is gone a second later.
	if err := rpcutil.Healthcheck(ctx, server.engine, time.Second, stop); err != nil {
		return err
	}
	cancel := make(chan bool)
	go func() { <-ctx.Done(); close(cancel) }()
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: cancel,
		Init: func(registrar *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(registrar, server)
			return nil
		},
	})
	if err != nil {
		return err
	}
	fmt.Println(handle.Port)
	return <-handle.Done
}

func (h *host) Handshake(context.Context, *pulumirpc.LanguageHandshakeRequest) (*pulumirpc.LanguageHandshakeResponse, error) {
	return &pulumirpc.LanguageHandshakeResponse{}, nil
}

func (h *host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{Version: version.Version}, nil
}

func (h *host) GetRequiredPackages(context.Context, *pulumirpc.GetRequiredPackagesRequest) (*pulumirpc.GetRequiredPackagesResponse, error) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

func (h *host) About(ctx context.Context, req *pulumirpc.AboutRequest) (*pulumirpc.AboutResponse, error) {
	python, err := resolve(req.Info)
	if err != nil {
		return nil, err
	}
	info, err := python.About(ctx)
	if err != nil {
		return nil, err
	}
	return &pulumirpc.AboutResponse{Executable: info.PythonExecutable, Version: info.PythonVersion.String()}, nil
}

func (h *host) Run(ctx context.Context, req *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	python, err := resolve(req.Info)
	if err != nil {
		return nil, err
	}
	command, err := python.Command(ctx, append([]string{
		"-u", h.shim, "--monitor", req.MonitorAddress, "--engine", h.engine,
		"--project", req.Project, "--root_directory", req.Info.RootDirectory, "--stack", req.Stack,
		"--organization", req.Organization, "--pwd", req.Pwd, "--dry_run", strconv.FormatBool(req.DryRun),
		"--parallel", strconv.Itoa(int(req.Parallel)), filepath.Join(req.Info.ProgramDirectory, req.Info.EntryPoint),
	}, req.Args...)...)
	if err != nil {
		return nil, err
	}
	if req.ConfigSecretKeys == nil {
		req.ConfigSecretKeys = []string{}
	}
	secretKeys, err := json.Marshal(req.ConfigSecretKeys)
	if err != nil {
		return nil, err
	}
	config, err := configuration(req.Config)
	if err != nil {
		return nil, err
	}
	command.Env = append(environment(command), config, "PULUMI_CONFIG_SECRET_KEYS="+string(secretKeys))
	command.Stdout, command.Stderr = os.Stdout, os.Stderr

	err = command.Run()
	var exited *exec.ExitError
	switch {
	case err == nil:
		return &pulumirpc.RunResponse{}, nil
	case errors.As(err, &exited) && exited.ExitCode() == exitedAfterShowingError:
		return &pulumirpc.RunResponse{Bail: true}, nil
	case errors.As(err, &exited):
		return &pulumirpc.RunResponse{Error: "the program ended with " + exited.String()}, nil
	default:
		return nil, fmt.Errorf("cannot start the program: %w", err)
	}
}

// RunPlugin runs a policy pack. The SDK's proxy answers the engine until the stack is known, because a Python pack
// learns of its stack from the environment it is started with.
func (h *host) RunPlugin(req *pulumirpc.RunPluginRequest, stream pulumirpc.LanguageRuntime_RunPluginServer) error {
	if req.Kind != "analyzer" {
		return status.Errorf(codes.Unimplemented, "this language host runs policy packs, not %s plugins", req.Kind)
	}
	ctx := stream.Context()
	python, err := resolve(req.Info)
	if err != nil {
		return err
	}
	closer, stdout, stderr, err := rpcutil.MakeRunPluginStreams(stream, false)
	if err != nil {
		return err
	}
	defer closer.Close()
	proxy, output, err := sdk.NewPolicyProxy(ctx, stdout)
	if err != nil {
		return err
	}
	stack, err := proxy.AwaitConfiguration(ctx)
	if err != nil {
		return err
	}
	arguments := append([]string{"-u", "-m", "pulumi.policy"}, req.Args...)
	command, err := python.Command(ctx, append(arguments, req.Info.ProgramDirectory)...)
	if err != nil {
		return err
	}
	command.Dir = req.Info.ProgramDirectory
	command.Stdout, command.Stderr = output, stderr
	command.Env = append(environment(command), req.Env...)
	if stack != nil {
		config, err := configuration(stack.Config)
		if err != nil {
			return err
		}
		command.Env = append(command.Env, config, "PULUMI_PROJECT="+stack.Project, "PULUMI_STACK="+stack.Stack,
			"PULUMI_ORGANIZATION="+stack.Organization, "PULUMI_DRY_RUN="+strconv.FormatBool(stack.DryRun))
	}
	if err := command.Start(); err != nil {
		return err
	}
	err = proxy.Attach(ctx, command)
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		code := &pulumirpc.RunPluginResponse_Exitcode{Exitcode: int32(exited.ExitCode())}
		return stream.Send(&pulumirpc.RunPluginResponse{Output: code})
	}
	return err
}

// resolve finds the Python of a program or pack as the official host does: lock files, `options`, then PATH.
func resolve(info *pulumirpc.ProgramInfo) (toolchain.Toolchain, error) {
	options := toolchain.PythonOptions{Root: info.RootDirectory, ProgramDir: info.ProgramDirectory}
	fields := info.Options.GetFields()
	options.Virtualenv = fields["virtualenv"].GetStringValue()
	switch name := fields["toolchain"].GetStringValue(); name {
	case "":
	case "pip":
		options.Toolchain = toolchain.Pip
	case "poetry":
		options.Toolchain = toolchain.Poetry
	case "uv":
		options.Toolchain = toolchain.Uv
	default:
		return nil, fmt.Errorf("runtime option toolchain is %q; it can be pip, poetry or uv", name)
	}
	return toolchain.ResolveToolchain(options)
}

func configuration(config map[string]string) (string, error) {
	if config == nil {
		config = map[string]string{}
	}
	text, err := json.Marshal(config)
	return "PULUMI_CONFIG=" + string(text), err
}

func environment(command *exec.Cmd) []string {
	if command.Env != nil {
		return command.Env
	}
	return os.Environ()
}
