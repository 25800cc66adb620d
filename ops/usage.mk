# The variables of each target, and its effect after `#`. This table is the only list of variables: the check of the
# command line, the export to programs, `make help` and `make help-all` use it. `make help` omits the last section.
## Try it
USES.demo := FIRMWARE TAGS KEY DEVICES FAULT KEEP  # release and install an image on a local cloud, without an AWS account
USES.cloud := TAGS  # keep a local cloud with the stack, to practise all commands
USES.invoke-cargo := EVENT MODE TAGS ENV_VARS MANIFEST FIRMWARE STACK RELEASE  # replay an event: EVENT=events/put.json
USES.invoke := EVENT MODE TAGS ENV_VARS MANIFEST FIRMWARE STACK RELEASE  # the same in Docker, with sam local invoke
USES.watch := TAGS ENV_VARS  # run the function on a local cloud, and build it again after each change
USES.event := BUCKET KEY VERSION OUT  # write the event of an object in S3, for a replay
## Run a stack in AWS
USES.deploy := STACK PARAMETERS  # create the stack, upgrade it, or change PARAMETERS='Name=value …'
USES.attach := STACK YES  # attach the stack to its existing bucket, after confirmation
USES.logs := STACK SINCE KEY FOLLOW  # print one line for each upload
USES.redrive := STACK PATIENCE  # process the failed events again
USES.destroy := STACK EMPTY YES  # delete the stack after confirmation, and keep the bucket
USES.zip := PARAMETERS  # build the archive that is deployed, and print its SHA-256
USES.dist :=  # build a folder from which the AWS CLI alone deploys the stack
USES.ota :=  # build the program ota, which uploads firmware and manages releases
## Change the code
USES.test :=  # run all tests, also those of the deployed stack on the local cloud
USES.check :=  # run make lint, make deny and make test
USES.fmt :=  # format everything
USES.clean :=  # remove everything that was built or installed here
## More commands
USES.help :=  # show the commands that most users need
USES.help-all :=  # show all commands, variables and exit codes
USES.need :=  # report everything that is missing on this machine
USES.setup :=  # install all tools into .venv
USES.local-cloud :=  # build the programs of the local cloud
USES.build :=  # build the function, ota and the tests
USES.firmware := FIRMWARE  # check that the image exists
USES.test-stack :=  # the part of make test that deploys the stack
USES.test-programs :=  # the part of make test that deploys no stack
USES.test-watch :=  # replay events to make watch, which takes a debug build of its own
USES.test-docker :=  # replay every sample event, and a release, with sam local invoke
USES.test-dist :=  # deploy the folder of make dist to the local cloud, with the AWS CLI
USES.torture := PARTS SOAK SEED BURST RUNS KEEP  # run all fault tests, for some hours; make test runs a selection
USES.torture-faults :=  # two faults at any requests, a thousand races, every order of steps
USES.torture-kill :=  # kill -9 of the deployed function before and after each of its requests
USES.torture-soak := SOAK SEED  # many uploads with faults, kills and duplicate events, then a redrive
USES.torture-burst := BURST  # many uploads at once, with Signer and AWS IoT throttled to their quotas
USES.fuzz := RUNS KEEP  # run each parser on inputs that libFuzzer generates from a corpus
USES.bench :=  # measure releases next to an empty function, for some minutes
USES.mutants :=  # change each line of the pure modules, and count undetected changes
USES.deny :=  # check licences, sources, bans and advisories of all dependencies
USES.sbom := ARCHITECTURE  # write a CycloneDX document of the components of the function
USES.lint :=  # run only format checks and linters

# The values of each variable, for `make help-all`.
#   ARCHITECTURE  x86_64 (the default) or arm64
#   BUCKET        the bucket of the object
#   BURST         the number of uploads at once: 100
#   DEVICES       the number of devices that install the update: 3
#   EMPTY         yes: also delete the bucket, after its name is typed
#   ENV_VARS      a file with settings of the function, like events/env/dry-run.json
#   EVENT         a sample event (put or events/put.json), or a file of your own
#   FAULT         flip: change a bit on the way to the devices, which refuse the image
#   FIRMWARE      a file with the image; without it, an image is generated
#   FOLLOW        yes: continue with new lines until Ctrl-C
#   KEEP          yes: keep the local cloud of the demo until Ctrl-C, or new inputs of the fuzzer
#   KEY           of the upload (demo) or object (event); logs: only keys that contain this text
#   MANIFEST      a file with the manifest of the event; without it, events/manifests/gateway.ota.json
#   MODE          dry-run (the default), local-cloud, or account: the settings of a deployed stack
#   OUT           the file for the event: event.json
#   PARAMETERS    'Name=value …', or a file with one on each line; zip: Architecture=arm64
#   PARTS         some of the fault tests: 'torture-soak fuzz'
#   PATIENCE      end after so many seconds without a change: 180
#   RELEASE       yes: create the job, with MODE=account
#   RUNS          the number of runs of each fuzz target: 100000
#   SEED          the seed of the random faults: 1
#   SINCE         start so long ago: 1h, 30m, 2d
#   SOAK          the number of uploads: 500
#   STACK         the name of the stack: ota-on-upload
#   TAGS          'ota:thing-group=lab&ota:start=45m', URL-encoded
#   VERSION       the version ID of the object; without it, the current version
#   YES           yes: skip the question
