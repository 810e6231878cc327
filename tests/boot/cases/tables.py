"""What the machine says of itself: ACPI and SMBIOS tables, as Linux sees them."""
import base64
import re
import shutil
import subprocess

from machine import Failed, Skipped

DUMP = 'for f in %s; do echo "<<$f"; base64 $f; echo ">>"; done\n'
COMPLAINTS = ('ACPI BIOS Error', 'ACPI Error', 'ACPI Warning', 'ACPI BIOS Warning')


def dumped(machine):
    """The files that DUMP printed, by their names."""
    files = re.findall(r'<<\S*/(\S+)\s+([A-Za-z0-9+/=\s]*)>>', machine.serial_text())
    return {name: base64.b64decode(text) for name, text in files}


def assemble(test, name, table):
    """iasl takes the table apart, and puts it together again without a word of complaint."""
    place = test.scratch / f'{name}.dat'
    place.write_bytes(table)
    subprocess.run(['iasl', '-d', place], capture_output=True, check=True)
    again = subprocess.run(['iasl', '-tc', '-p', test.scratch / 'again', place.with_suffix('.dsl')],
                           capture_output=True, text=True, check=False)
    said = again.stdout + again.stderr
    if again.returncode or 'Error  ' in said or 'Warning  ' in said:
        raise Failed(f'{name}:\n{said[-3000:]}')


def acpi(test, *arguments):
    if not shutil.which('iasl'):
        raise Skipped('the package acpica-tools is not there')
    script = DUMP % '/sys/firmware/acpi/tables/[A-Z]*' + 'dmesg | grep -E "ACPI|DMI"'
    with test.linux(script, *arguments) as machine:
        machine.wait_end()
        tables = {name: data for name, data in dumped(machine).items() if data}
        noise = [line for line in machine.serial_text().splitlines() if any(n in line for n in COMPLAINTS)]
    if not {'DSDT', 'FACP', 'APIC'} <= set(tables) or noise:
        raise Failed(f'tables: {sorted(tables)}; complaints: {noise}')
    for name, table in tables.items():
        assemble(test, name, table)


def acpi_tables(test):
    """Linux and iasl have nothing to say against the PC's ACPI tables"""
    acpi(test, '--smp', '3')


def acpi_microvm(test):
    """nor against those of the microvm"""
    acpi(test, '--machine', 'microvm')


def smbios(test):
    """dmidecode understands the SMBIOS tables, with what the user wants in them"""
    if not shutil.which('dmidecode'):
        raise Skipped('the package dmidecode is not there')
    with test.linux(DUMP % '/sys/firmware/dmi/tables/*' + 'cat /sys/class/dmi/id/product_uuid', '--memory', '5G',
                    '--smp', '2', '--smbios', 'type=1,product=Test,serial=42', '--smbios',
                    'type=1,uuid=00112233-4455-6677-8899-aabbccddeeff', '--smbios', 'type=11,value=one') as machine:
        machine.wait_end()
        files = dumped(machine)
        uuid = '00112233-4455-6677-8899-aabbccddeeff' in machine.serial_text()
    entry = bytearray(files['smbios_entry_point'])
    if entry[:5] != b'_SM3_' or sum(entry) & 0xff:
        raise Failed(f'the entry point is {entry.hex()}')
    entry[16:24] = (32).to_bytes(8, 'little')  # the table's place in the file
    entry[5] = (entry[5] - sum(entry)) & 0xff
    dump = test.scratch / 'dmi'
    dump.write_bytes(entry.ljust(32, b'\0') + files['DMI'])
    text = subprocess.run(['dmidecode', '--no-sysfs', '--from-dump', dump], capture_output=True, text=True, check=True)
    wanted = ['SMBIOS 3.0.0 present', 'Vendor: Menura', 'Manufacturer: Menura', 'Product Name: Test',
              'Serial Number: 42', 'Core Count: 2', 'String 1: one', 'Size: 5 GB', 'Ending Address: 0x000BFFFFFFF',
              'Starting Address: 0x00100000000', 'End Of Table']
    missing = [line for line in wanted if line not in text.stdout]
    if missing or not uuid or 'broken' in text.stdout or 'WRONG' in text.stdout or text.stderr:
        raise Failed(f'not {missing} in:\n{text.stdout}{text.stderr}')


def smbios_option(test):
    """an SMBIOS value that there is not is refused with one line"""
    with test.machine('--smbios', 'type=1,colour=red') as machine:
        machine.wait_end(1)
        if machine.messages().count('\n') != 1 or 'colour' not in machine.messages():
            raise Failed(machine.messages())


CASES = [acpi_tables, acpi_microvm, smbios, smbios_option]
