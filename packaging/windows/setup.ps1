# The two verbs of the Makefile for Windows 10/11 with Python 3.11 to 3.13 from python.org:
#   packaging\windows\setup.ps1 demo     the whole circle on a synthetic chest CT; leaves demo-out\
#   packaging\windows\setup.ps1 test     the everyday tests
# TORCH_INDEX in the environment may name a package index that offers torch for your machine; on Windows the default index
# gives the CPU build. This script has not been run on a Windows machine by its authors yet.
param([ValidateSet("demo", "test")][string]$Verb = "demo")
$ErrorActionPreference = "Stop"
Set-Location (Join-Path $PSScriptRoot "..\..")

function Stop-With([string]$Sentence) { Write-Error $Sentence; exit 1 }

$python = Get-Command py -ErrorAction SilentlyContinue
$interpreter = if ($python) { @("py", "-3") } else { @("python") }
& $interpreter[0] $interpreter[1..9] -c "import sys; sys.exit(not ((3, 11) <= sys.version_info < (3, 14)))"
if ($LASTEXITCODE -ne 0) { Stop-With "medviewer needs Python 3.11, 3.12 or 3.13; install it from python.org and run this again." }

$venv = ".venv\Scripts\python.exe"
if (-not (Test-Path $venv)) {
    & $interpreter[0] $interpreter[1..9] -m venv .venv
    if ($LASTEXITCODE -ne 0) { Stop-With "the virtual environment .venv could not be made." }
}
& $venv -c "import torch" 2>$null
if ($LASTEXITCODE -ne 0) {
    Write-Host "installing torch (this is the large one)"
    $index = if ($env:TORCH_INDEX) { @("--index-url", $env:TORCH_INDEX) } else { @() }
    & $venv -m pip install --quiet --disable-pip-version-check @index torch==2.13.0
    if ($LASTEXITCODE -ne 0) { Stop-With "torch could not be installed; is there a network?" }
}
$what = if ($Verb -eq "test") { ".[test]" } else { "." }
& $venv -m pip install --quiet --disable-pip-version-check -e $what
if ($LASTEXITCODE -ne 0) { Stop-With "medviewer's packages could not be installed; is there a network?" }

if ($Verb -eq "demo") {
    & .venv\Scripts\medviewer.exe demo --out demo-out
} else {
    $env:QT_QPA_PLATFORM = "offscreen"
    & $venv -m pytest -n 2 --dist loadfile
}
exit $LASTEXITCODE
