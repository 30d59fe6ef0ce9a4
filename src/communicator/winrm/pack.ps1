try {
    $ErrorActionPreference = 'Stop'
    $from = [Environment]::ExpandEnvironmentVariables([regex]::Replace($from, '\$env:(\w+)', '%$1%'))
    $from = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($from)
    $archive = [Environment]::ExpandEnvironmentVariables($archive)
    if ($from -match '[*?\[]') {
        $base = [IO.Path]::GetDirectoryName($from)
        $found = @(Get-ChildItem -Path $from -Force)
        if (-not $found) { [Console]::Error.WriteLine("nothing matches $from"); exit 1 }
    } else {
        if (-not [IO.Directory]::Exists($from)) { [Console]::Error.WriteLine("$from is no directory"); exit 1 }
        $base = $from
        $found = @(Get-ChildItem -LiteralPath $from -Force)
    }
    $start = $base.TrimEnd('\').Length + 1
    Add-Type -AssemblyName System.IO.Compression
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    $zip = [IO.Compression.ZipFile]::Open($archive, 'Create')
    try {
        foreach ($one in $found) {
            $all = @($one)
            if ($one.PSIsContainer) { $all += @(Get-ChildItem -LiteralPath $one.FullName -Recurse -Force) }
            foreach ($item in $all) {
                $name = $item.FullName.Substring($start).Replace('\', '/')
                if ($item.PSIsContainer) { [void]$zip.CreateEntry("$name/") }
                else { [void][IO.Compression.ZipFileExtensions]::CreateEntryFromFile($zip, $item.FullName, $name, 'NoCompression') }
            }
        }
    } finally { $zip.Dispose() }
} catch { [Console]::Error.WriteLine($_.Exception.Message); exit 1 }
